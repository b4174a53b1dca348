//! The statements of a read: texts, with `{s}` for the schema.

use super::{
    connection::PLANS,
    header::{PARTS, header},
};

/// What a page adds to the header: the witness's nonce, and where there is none whether a row stands before the cursor.
macro_rules! intact {
    () => {
        "(SELECT w.nonce::text FROM {s}.log AS w WHERE w.xid = $2::text::xid8 AND w.id = $3::text::bigint),
    CASE WHEN $2::text IS NULL THEN (EXISTS (
        SELECT 1 FROM {s}.log AS o
        WHERE o.xid < $5::text::xid8 AND pg_visible_in_snapshot(o.xid, $4::text::pg_snapshot)
    ))::text END"
    };
}

/// The header row, then the rows that the target sees and the cursor's snapshot does not, behind the last one
/// returned.
///
/// `$2`, `$3` the witness's place; `$4`, `$5` the cursor's snapshot and its `xmax`; `$6` the target, none for the
/// present; `$7`, `$8` behind which place transactions that began later stand; `$9` those that were open then; `$10`,
/// `$11` behind which place; `$12` how many rows, `$13` one more, which tells that there are more; `$14` how many
/// bytes.
///
/// Two ordered, limited branches: an `OR` would walk the index from its start. The second stands between `{open}` and
/// `{/open}`, and is left out where nothing was open, which spares the server its start. Of those that were open only
/// what has completed is looked up, so that what a long transaction has written is not passed over by each poll. A row
/// above 16 MiB is not fetched; it widens (`P11`).
pub(super) const PAGE: &str = concat!(
    "SELECT json_build_array(",
    header!(),
    ",
    ",
    intact!(),
    "
)::text, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM {s}.meta AS m LEFT JOIN {s}.epoch AS e ON true
UNION ALL
SELECT NULL, p.xid::text, p.id::text, p.nonce::text, p.cache, p.scope,
    CASE WHEN octet_length(p.items) <= 16777216 THEN p.items END, p.fetched::text
FROM (
    SELECT r.*, count(*) OVER () AS fetched, row_number() OVER place AS number,
        sum(octet_length(r.items)) OVER place - octet_length(r.items) AS bytes_before
    FROM (
        (
            SELECT a.xid, a.id, a.nonce, a.cache, a.scope, a.items
            FROM {s}.log AS a
            WHERE (a.xid, a.id) > ($7::text::xid8, $8::text::bigint)
                AND a.xid < pg_snapshot_xmax(coalesce($6::text::pg_snapshot, pg_current_snapshot()))
                AND pg_visible_in_snapshot(a.xid, coalesce($6::text::pg_snapshot, pg_current_snapshot()))
            ORDER BY a.xid, a.id LIMIT $13::text::bigint
        )
        {open}UNION ALL
        (
            SELECT b.xid, b.id, b.nonce, b.cache, b.scope, b.items
            FROM {s}.log AS b
            WHERE b.xid = ANY (ARRAY(
                    SELECT x FROM unnest($9::text::xid8[]) AS x
                    WHERE pg_visible_in_snapshot(x, coalesce($6::text::pg_snapshot, pg_current_snapshot()))
                ))
                AND (b.xid, b.id) > ($10::text::xid8, $11::text::bigint)
            ORDER BY b.xid, b.id LIMIT $13::text::bigint
        )
        ORDER BY 1, 2 LIMIT $13::text::bigint
        {/open}
    ) AS r
    WINDOW place AS (ORDER BY r.xid, r.id)
) AS p
WHERE p.number <= $12::text::bigint AND (p.number = 1 OR p.bytes_before < $14::text::numeric)"
);

/// The same as a function, for those who send text: the server keeps its plan, where it would plan each poll anew. It
/// is `STABLE`, so that all of it sees the snapshot of the statement that calls it.
pub(super) fn page_function() -> String {
    let mut body = PAGE.replace("{open}", "").replace("{/open}", "");
    for number in (1..=PARAMETERS).rev() {
        body = body.replace(&format!("${number}::text"), &format!("given[{number}]"));
    }
    let plans = PLANS.map(|(name, value)| format!("SET {name} = {value}"));
    let columns: Vec<_> = (0..8)
        .map(|column| format!("column_{column} text"))
        .collect();
    format!(
        "CREATE FUNCTION {{s}}.page(given text[]) RETURNS TABLE ({}) LANGUAGE plpgsql STABLE {} AS $body$ BEGIN
RETURN QUERY {body};
END $body$;
",
        columns.join(", "),
        plans.join(" ")
    )
}

pub(super) fn page_call() -> String {
    let given: Vec<_> = (1..=PARAMETERS)
        .map(|number| format!("${number}"))
        .collect();
    format!(
        "SELECT * FROM {{s}}.page(ARRAY[{}]::text[])",
        given.join(", ")
    )
}

/// How many parameters [`PAGE`] has.
const PARAMETERS: usize = 14;

/// The header row of a page, and whether there is anything to return: a row that is later than the cursor's snapshot,
/// or a transaction that was open in it and has ended. An idle poll needs no more, and it costs the server two thirds
/// of an empty page. Its snapshot serves as a page's does.
///
/// `$2` to `$5` as for [`PAGE`]; `$6`, `$7` its `$7`, `$8`; `$8` its `$9`.
pub(super) const LOOK: &str = concat!(
    "SELECT json_build_array(",
    header!(),
    ",
    ",
    intact!(),
    ",
    (EXISTS (
        SELECT 1 FROM {s}.log AS a
        WHERE (a.xid, a.id) > ($6::text::xid8, $7::text::bigint)
            AND a.xid < pg_snapshot_xmax(pg_current_snapshot())
            AND pg_visible_in_snapshot(a.xid, pg_current_snapshot())
    ) OR EXISTS (
        SELECT 1 FROM unnest($8::text::xid8[]) AS x WHERE pg_visible_in_snapshot(x, pg_current_snapshot())
    ))::text
)::text
FROM {s}.meta AS m LEFT JOIN {s}.epoch AS e ON true"
);

/// The header row with the newest row that is committed now.
pub(super) const HEAD: &str = concat!(
    "SELECT json_build_array(",
    header!(),
    ", n.xid::text, n.id::text, n.nonce::text)::text
FROM {s}.meta AS m LEFT JOIN {s}.epoch AS e ON true LEFT JOIN LATERAL (
    SELECT h.xid, h.id, h.nonce FROM {s}.log AS h
    WHERE h.xid < pg_snapshot_xmax(pg_current_snapshot())
    ORDER BY h.xid DESC, h.id DESC LIMIT 1
) AS n ON true"
);

// What a statement adds to its header stands behind the parts of it.
const _: () = assert!(PARTS == 14);
