//! What `REQUIRE_BACKENDS` makes of an absent server.

use invalidation_testbed::{Backend, Error, Offer, Required};

fn absent() -> Error {
    Backend::Redis
        .program("no-such-program")
        .expect_err("there is no such program")
}

#[test]
fn an_absent_server_that_nobody_required_is_ignored_with_the_reason() {
    for names in ["", "postgres", " nats , etcd,"] {
        let required = Required::parse(names).expect("known names");
        match required.decide::<()>(Err(absent())) {
            Ok(Offer::Ignored(absent)) => {
                assert_eq!(absent.backend, Backend::Redis);
                let text = absent.to_string();
                assert!(text.contains("`no-such-program`"), "{text}");
                assert!(
                    text.contains("install the Debian package redis-server"),
                    "{text}"
                );
            }
            other => panic!("with {names:?}: {other:?}"),
        }
    }
}

#[test]
fn an_absent_server_that_is_required_is_a_failure() {
    let every = Backend::ALL.map(Backend::name).join(",");
    for names in ["redis", "postgres, redis", &every] {
        let required = Required::parse(names).expect("known names");
        let decided = required.decide::<()>(Err(absent()));
        assert!(
            matches!(decided, Err(Error::Required(_))),
            "with {names:?}: {decided:?}"
        );
    }
}

#[test]
fn a_server_that_is_there_is_given_and_one_that_fails_is_a_failure() {
    let required = Required::default();
    assert!(matches!(required.decide(Ok(7)), Ok(Offer::Here(7))));
    let unanswered = invalidation_testbed::ping(
        Backend::Redis,
        // Port 1 is nobody's on loopback; a refusal is enough.
        ([127, 0, 0, 1], 1).into(),
        std::time::Duration::from_secs(1),
    );
    assert!(matches!(
        required.decide(unanswered),
        Err(Error::Unanswered { .. })
    ));
}

#[test]
fn a_misspelt_name_is_an_error_that_lists_the_right_ones() {
    let error = Required::parse("redis,postgress").expect_err("misspelt");
    let text = error.to_string();
    assert!(text.contains("\"postgress\""), "{text}");
    for backend in Backend::ALL {
        assert!(text.contains(backend.name()), "{backend} is not in {text}");
    }
}
