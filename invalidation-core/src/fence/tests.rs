//! The fence by itself, where one thread is enough to show a rule.

use std::hash::BuildHasher;

use super::{Begun, Consider, FlightTable, Sketch, Solo, StdSync, Ticket};

type Table = FlightTable<u32, (), StdSync>;

fn table() -> Table {
    Table::new(4, 1_024)
}

fn begin(table: &Table, key: u32) -> Begun<(), ()> {
    table.begin(
        u64::from(key),
        &key,
        || None,
        |()| Consider::Skip,
        || false,
        || (key, ()),
    )
}

fn ticket(table: &Table, key: u32) -> Ticket {
    match begin(table, key) {
        Begun::Flight(ticket) => ticket,
        other => panic!("{other:?} instead of a flight"),
    }
}

fn keeps(table: &Table, ticket: Ticket, tags: &[u64]) -> bool {
    table.finish(ticket, tags, |_| ()).is_some()
}

/// P5: an invalidation of one key touches the flights of that key alone.
#[test]
fn p5_an_invalidation_touches_its_own_key_alone() {
    let table = table();
    let (mine, other) = (ticket(&table, 1), ticket(&table, 2));
    table.invalidate(1, &1, || ());
    assert!(!keeps(&table, mine, &[]));
    assert!(keeps(&table, other, &[]));
    assert_eq!(table.in_flight(), 0);
}

/// P5: two keys of one hash are told apart.
#[test]
fn p5_keys_of_one_hash_are_told_apart() {
    let table = table();
    let begin = |key: u32| match table.begin::<_, ()>(
        9,
        &key,
        || None,
        |()| Consider::Join,
        || false,
        || (key, ()),
    ) {
        Begun::Flight(ticket) => ticket,
        other => panic!("{other:?} instead of a flight"),
    };
    let (one, two) = (begin(1), begin(2));
    table.invalidate(9, &1, || ());
    assert!(!keeps(&table, one, &[]));
    assert!(keeps(&table, two, &[]));
}

/// A flight that ends after a younger one of its key was kept does not overwrite it.
#[test]
fn an_older_flight_does_not_overwrite_a_younger_one() {
    let table = table();
    let (older, younger) = (ticket(&table, 1), ticket(&table, 1));
    assert!(keeps(&table, younger, &[]));
    assert!(!keeps(&table, older, &[]));
    let (older, younger) = (ticket(&table, 1), ticket(&table, 1));
    assert!(keeps(&table, older, &[]));
    assert!(keeps(&table, younger, &[]));
}

/// A flight that is stamped anew counts from then on, also when it was taken out meanwhile.
#[test]
fn a_restarted_flight_counts_from_its_restart() {
    let table = table();
    for invalidate in [
        (|table| table.invalidate(1, &1, || ())) as fn(&Table),
        |table| table.clear(),
    ] {
        let first = ticket(&table, 1);
        invalidate(&table);
        let Begun::<_, ()>::Flight(again) = table.restart(first, &1, || false, || (1, ())) else {
            panic!("it is not registered");
        };
        assert!(again.start > first.start);
        assert_eq!(table.in_flight(), 1);
        assert!(keeps(&table, again, &[]));
    }
}

/// Quarantines are counted, and take out what was in flight.
#[test]
fn quarantines_are_counted() {
    let table = table();
    let before = ticket(&table, 1);
    table.quarantine(1, &1, || 1);
    table.quarantine(1, &1, || 1);
    assert!(!keeps(&table, before, &[]));
    table.release(1, &1);
    assert!(matches!(begin(&table, 1), Begun::Solo(Solo::Quarantined)));
    assert!(keeps(&table, ticket(&table, 2), &[]));
    table.release(1, &1);
    assert!(keeps(&table, ticket(&table, 1), &[]));

    let before = ticket(&table, 1);
    table.quarantine_all();
    table.quarantine_all();
    assert!(!keeps(&table, before, &[]));
    table.release_all();
    assert!(matches!(begin(&table, 2), Begun::Solo(Solo::Quarantined)));
    table.release_all();
    assert!(keeps(&table, ticket(&table, 2), &[]));

    table.quarantine_tags([5, 6]);
    table.quarantine_tags([5]);
    table.release_tags([5, 6]);
    let (five, six) = (ticket(&table, 1), ticket(&table, 2));
    assert!(!keeps(&table, five, &[5]));
    assert!(keeps(&table, six, &[6]));
    table.release_tags([5]);
    assert!(keeps(&table, ticket(&table, 1), &[5]));
}

/// P11: in fixed memory, with far more tags than cells, none that was invalidated is ever taken for one that
/// was not; and a few leave the others alone.
#[test]
fn p11_the_tag_sketch_widens_and_never_misses() {
    let ids = foldhash::fast::FixedState::with_seed(1);
    let sketch = Sketch::<StdSync>::new(1_024);
    for n in 0..50_000_u64 {
        sketch.raise(ids.hash_one(n), n + 1);
        assert!(sketch.bound(ids.hash_one(n)) > n);
    }
    assert!((0..50_000).all(|n| sketch.bound(ids.hash_one(n)) > n));

    let sketch = Sketch::<StdSync>::new(1_024);
    (0..10).for_each(|n| sketch.raise(ids.hash_one(n), 1));
    let mistaken = (10..10_000).filter(|n| sketch.bound(ids.hash_one(*n)) > 0);
    assert!(mistaken.count() < 100);
}
