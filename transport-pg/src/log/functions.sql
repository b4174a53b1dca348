-- Rows that are deleted by hand are as good as purged: the floor tells of them. A truncation, which the snapshots of
-- others do not respect, begins another epoch.
CREATE FUNCTION {s}.before_loss() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    -- Before any row is, as a purge does: so nobody waits in a circle, and the snapshot below is the latest of all.
    PERFORM FROM {s}.meta FOR UPDATE;
    RETURN NULL;
END $body$;

CREATE FUNCTION {s}.after_loss() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE {s}.epoch SET epoch = gen_random_uuid();
        RETURN NULL;
    END IF;
    -- Neither what the floor tells of, as after a purge, nor what nobody else ever saw.
    WITH lost AS MATERIALIZED (
        SELECT g.xid, g.id, g.nonce FROM gone AS g JOIN {s}.meta AS m ON (
            (g.xid, g.id) <= (m.floor_xid, m.floor_id) AND pg_visible_in_snapshot(g.xid, m.floor_snapshot)
        ) IS NOT TRUE
        WHERE g.xid <> pg_current_xact_id()
        ORDER BY g.xid DESC, g.id DESC LIMIT 1
    ), tick AS (
        INSERT INTO {s}.ticks (at, epoch, snapshot)
        SELECT clock_timestamp(), e.epoch, pg_current_snapshot() FROM {s}.epoch AS e, lost
        RETURNING id
    )
    UPDATE {s}.meta AS m SET
        (floor_xid, floor_id, floor_nonce) = (
            SELECT c.xid, c.id, c.nonce FROM (
                SELECT lost.xid, lost.id, lost.nonce
                UNION ALL SELECT m.floor_xid, m.floor_id, m.floor_nonce WHERE m.floor_xid IS NOT NULL
            ) AS c ORDER BY c.xid DESC, c.id DESC LIMIT 1
        ),
        floor_tick = (SELECT tick.id FROM tick),
        floor_snapshot = pg_current_snapshot()
    FROM lost;
    RETURN NULL;
END $body$;

CREATE TRIGGER before_delete BEFORE DELETE ON {s}.log FOR EACH STATEMENT EXECUTE FUNCTION {s}.before_loss();
CREATE TRIGGER after_delete AFTER DELETE ON {s}.log REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION {s}.after_loss();
CREATE TRIGGER after_truncate AFTER TRUNCATE ON {s}.log FOR EACH STATEMENT EXECUTE FUNCTION {s}.after_loss();

-- For every language: to be called in the transaction of the change.
CREATE FUNCTION {s}.append(cache text, scope text, items text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF cache IS NULL OR octet_length(cache) NOT BETWEEN 1 AND 128 OR cache ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'cache name % cannot be used', quote_nullable(left(cache, 40))
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use 1 to 128 bytes without control characters.';
    END IF;
    IF items IS NULL OR array_position(items, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a key or tag of cache % is NULL', quote_literal(cache)
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Leave it out, or clear the cache.';
    END IF;
    INSERT INTO {s}.log (cache, scope, items)
    SELECT append.cache, append.scope, to_json(append.items)::text
    WHERE append.scope = 'all' OR cardinality(append.items) > 0;
END $body$;

CREATE FUNCTION {s}.keys(cache text, VARIADIC keys text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT {s}.append($1, 'keys', $2)
$body$;

CREATE FUNCTION {s}.tags(cache text, VARIADIC tags text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT {s}.append($1, 'tags', $2)
$body$;

CREATE FUNCTION {s}.clear(cache text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT {s}.append($1, 'all', '{}')
$body$;

CREATE FUNCTION {s}.everything() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    INSERT INTO {s}.log (scope) VALUES ('everything')
$body$;

-- SQL over a row r for the text of a template, and for whether it is NULL.
CREATE FUNCTION {s}.expression(attached regclass, template text, OUT of_row text, OUT is_null text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $body$
DECLARE
    piece text[];
    type regtype;
    parts text[] := '{}';
    columns text[] := '{}';
    several boolean := (SELECT count(*) > 1 FROM regexp_matches(template, '\{[^{}]+\}', 'g'));
    value text;
BEGIN
    IF template !~ '^([^{}]|\{[^{}]+\})*$' OR template !~ '\{' THEN
        RAISE EXCEPTION 'template % cannot be used', quote_literal(template)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Write column names in braces, as in {id} or {org}:{id}.';
    END IF;
    FOR piece IN SELECT regexp_matches(template, '([^{}]+)|\{([^{}]+)\}', 'g') LOOP
        IF piece[1] IS NOT NULL THEN
            parts := parts || quote_literal(piece[1]);
            CONTINUE;
        END IF;
        SELECT a.atttypid INTO type FROM pg_attribute AS a
        WHERE a.attrelid = attached AND a.attname = piece[2] AND a.attnum > 0 AND NOT a.attisdropped;
        IF type IS NULL THEN
            RAISE EXCEPTION 'table % has no column %', attached, quote_literal(piece[2])
                USING ERRCODE = 'undefined_column';
        END IF;
        IF type NOT IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'text'::regtype, 'varchar'::regtype,
                'uuid'::regtype) THEN
            RAISE EXCEPTION 'column % is of type %, whose texts depend on settings', quote_literal(piece[2]), type
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Use a column of an integer type, text or uuid.';
        END IF;
        value := format('r.%I::text', piece[2]);
        columns := columns || value;
        -- As the text of a tuple key is.
        IF several THEN
            value := format($sql$replace(replace(%s, E'\\', E'\\\\'), ':', E'\\:')$sql$, value);
        END IF;
        parts := parts || value;
    END LOOP;
    of_row := array_to_string(parts, ' || ');
    is_null := '(' || array_to_string(columns, ' IS NULL OR ') || ' IS NULL)';
END $body$;

CREATE TABLE {s}.attached (
    attached regclass NOT NULL,
    cache text NOT NULL,
    key text,
    tags text[] NOT NULL,
    PRIMARY KEY (attached, cache)
);

-- The name of what attaches a table to a cache.
CREATE FUNCTION {s}.attachment(attached regclass, cache text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT 'cache_invalidation_' || md5('{s}.log'::regclass::oid || ' ' || $1::oid || ' ' || $2)
$body$;

CREATE FUNCTION {s}.is_active(attached regclass, cache text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT count(*) = 4 FROM pg_trigger AS t
    WHERE t.tgrelid = $1 AND t.tgenabled <> 'D'
        AND t.tgname IN (SELECT {s}.attachment($1, $2) || event
            FROM unnest('{_insert,_update,_delete,_truncate}'::text[]) AS event)
$body$;

CREATE FUNCTION {s}.detach(attached regclass, cache text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $body$
DECLARE
    name text := {s}.attachment(detach.attached, detach.cache);
    event text;
    part regclass;
    found_one boolean;
BEGIN
    FOREACH event IN ARRAY '{_insert,_update,_delete,_truncate}'::text[] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', name || event, detach.attached);
    END LOOP;
    EXECUTE format('DROP FUNCTION IF EXISTS {s}.%I()', name);
    DELETE FROM {s}.attached AS a WHERE a.attached = detach.attached AND a.cache = detach.cache;
    found_one := FOUND;
    FOR part IN SELECT i.inhrelid FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = detach.attached AND c.relispartition
    LOOP
        PERFORM {s}.detach(part, detach.cache);
    END LOOP;
    RETURN found_one;
END $body$;

-- The triggers of one table, without those of its partitions.
CREATE FUNCTION {s}.attach_one(attached regclass, cache text, key text, tags text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $body$
DECLARE
    most CONSTANT integer := 1000;
    name text := {s}.attachment(attach_one.attached, attach_one.cache);
    key_of record;
    tag_of record;
    template text;
    vague text := 'false';
    keys text := 'SELECT NULL::text WHERE false';
    tag_texts text[] := '{}';
    body text := '';
    rows text;
BEGIN
    IF attach_one.key IS NOT NULL THEN
        key_of := {s}.expression(attach_one.attached, attach_one.key);
        vague := key_of.is_null;
        keys := format('SELECT %s FROM rows AS r', key_of.of_row);
    END IF;
    FOREACH template IN ARRAY attach_one.tags LOOP
        tag_of := {s}.expression(attach_one.attached, template);
        -- A tag that is NULL is no tag.
        tag_texts := tag_texts || format('SELECT %s FROM rows AS r WHERE NOT %s', tag_of.of_row, tag_of.is_null);
    END LOOP;
    IF attach_one.key IS NULL AND cardinality(attach_one.tags) = 0 THEN
        vague := 'true';
    END IF;
    IF cardinality(tag_texts) = 0 THEN
        tag_texts := ARRAY['SELECT NULL::text WHERE false'];
    END IF;
    FOREACH rows IN ARRAY ARRAY[
        'INSERT:SELECT * FROM new_rows', 'DELETE:SELECT * FROM old_rows',
        'UPDATE:SELECT * FROM old_rows UNION ALL SELECT * FROM new_rows'
    ] LOOP
        body := body || format(
            $sql$
            IF TG_OP = %1$L THEN
                WITH rows AS NOT MATERIALIZED (%2$s)
                SELECT EXISTS (SELECT FROM rows AS r WHERE %3$s),
                    ARRAY(SELECT DISTINCT * FROM (%4$s) AS k LIMIT %6$s + 1),
                    ARRAY(SELECT DISTINCT * FROM (%5$s) AS t LIMIT %6$s + 1)
                INTO vague, keys, tags;
            END IF;
            $sql$,
            split_part(rows, ':', 1), split_part(rows, ':', 2), vague, keys,
            array_to_string(tag_texts, ' UNION ALL '), most
        );
    END LOOP;
    EXECUTE format(
        $sql$
        CREATE FUNCTION {s}.%1$I() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $trigger$
        DECLARE
            vague boolean := true;
            keys text[];
            tags text[];
        BEGIN
            %2$s
            IF vague OR cardinality(keys) > %3$s OR cardinality(tags) > %3$s THEN
                INSERT INTO {s}.log (cache, scope) VALUES (%4$L, 'all');
            ELSE
                INSERT INTO {s}.log (cache, scope, items)
                SELECT %4$L, v.scope, to_json(v.items)::text
                FROM (VALUES ('keys', keys), ('tags', tags)) AS v (scope, items) WHERE cardinality(v.items) > 0;
            END IF;
            RETURN NULL;
        END $trigger$
        $sql$,
        name, body, most, attach_one.cache
    );
    EXECUTE format('REVOKE EXECUTE ON FUNCTION {s}.%I() FROM PUBLIC', name);
    EXECUTE format(
        'CREATE TRIGGER %I AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
         FOR EACH STATEMENT EXECUTE FUNCTION {s}.%I()',
        name || '_insert', attach_one.attached, name);
    EXECUTE format(
        'CREATE TRIGGER %I AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
         FOR EACH STATEMENT EXECUTE FUNCTION {s}.%I()',
        name || '_update', attach_one.attached, name);
    EXECUTE format(
        'CREATE TRIGGER %I AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
         FOR EACH STATEMENT EXECUTE FUNCTION {s}.%I()',
        name || '_delete', attach_one.attached, name);
    EXECUTE format(
        'CREATE TRIGGER %I AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION {s}.%I()',
        name || '_truncate', attach_one.attached, name);
    INSERT INTO {s}.attached VALUES (attach_one.attached, attach_one.cache, attach_one.key, attach_one.tags);
END $body$;

-- Makes each statement that changes the table, by any program, append to the log in its transaction. True when
-- something had to change; the cache is then cleared, since what happened before was not logged. Partitions are
-- attached too: a statement on one does not fire the triggers of the whole.
CREATE FUNCTION {s}.attach(attached regclass, cache text, key text DEFAULT NULL, tags text[] DEFAULT '{}')
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    part regclass;
    changed boolean := false;
BEGIN
    -- Programs that start at once take turns.
    PERFORM pg_advisory_xact_lock(hashtextextended({s}.attachment(attach.attached, attach.cache), 0));
    IF NOT {s}.is_active(attach.attached, attach.cache) OR NOT EXISTS (
        SELECT FROM {s}.attached AS a
        WHERE a.attached = attach.attached AND a.cache = attach.cache
            AND a.key IS NOT DISTINCT FROM attach.key AND a.tags = attach.tags
    ) THEN
        PERFORM {s}.detach(attach.attached, attach.cache);
        PERFORM {s}.attach_one(attach.attached, attach.cache, attach.key, attach.tags);
        PERFORM {s}.clear(attach.cache);
        changed := true;
    END IF;
    FOR part IN SELECT i.inhrelid FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = attach.attached AND c.relispartition AND c.relkind IN ('r', 'p')
    LOOP
        changed := {s}.attach(part, attach.cache, attach.key, attach.tags) OR changed;
    END LOOP;
    RETURN changed;
END $body$;
