-- The database of the receiver. `npm run database -- prepare` applies this file once, in one transaction, as a superuser.
--
-- Who may do what
--   civic_owner     owns everything below and cannot log in.
--   the receiver    may read everything, insert into `record`, and insert or replace in `latest`. It may change nothing else.
--   the trigger     `civic.append` runs as civic_owner. Only this trigger moves the head of an association.
--
-- Errors that the triggers raise. None contains a value, because the server's log would keep the value.
--   CV001  another writer was first: the batch does not continue the head
--   CV002  the last line is not the one that was stored there
--   CV003  `received_at` is before the last one, or more than 5 s ahead of this server's clock
--   CV004  a setting under which a commit is not on disk twice
--   CV005  a line, a name or a body that no receiver writes
--   CV006  an import is under way or was broken off

CREATE SCHEMA civic AUTHORIZATION civic_owner;
SET LOCAL ROLE civic_owner;

-- This table has one row. While `importing` is true, an import is under way and no receiver may store.
CREATE TABLE civic.state (
  version integer NOT NULL,
  importing boolean NOT NULL
);
INSERT INTO civic.state VALUES (1, false);

-- The head of each association. It changes with each batch, so half of each page is left free. Then the new row is on the
-- same page, and no index changes.
CREATE TABLE civic.association (
  addon text COLLATE "C",
  slug text COLLATE "C",
  count bigint,
  sha256 text COLLATE "C",
  received_at text COLLATE "C",
  PRIMARY KEY (addon, slug)
) WITH (fillfactor = 50);

-- `line` holds exactly the bytes of the line in records.json, without the comma and the line feed.
-- No other constraint: the server's log prints the whole row that fails one. The id comes first in its key: while the table has
-- no statistics, the planner would else look for a sequence in that index, and read all records of the association.
CREATE TABLE civic.record (
  addon text COLLATE "C",
  slug text COLLATE "C",
  sequence bigint,
  id bytea,
  line bytea COMPRESSION lz4,
  CONSTRAINT record_place PRIMARY KEY (addon, slug, sequence),
  CONSTRAINT record_id UNIQUE (id, addon, slug)
);

-- `body` holds exactly the bytes of <participant>.json. `changed` tells a mirror what is new.
-- Vacuum comes early, because a replaced body stays in the table's file until then.
CREATE TABLE civic.latest (
  addon text COLLATE "C",
  slug text COLLATE "C",
  participant_id text COLLATE "C",
  body bytea COMPRESSION lz4,
  changed xid8,
  PRIMARY KEY (addon, slug, participant_id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 100);
CREATE INDEX latest_changed ON civic.latest (changed);
ALTER TABLE civic.latest SET (toast.autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_threshold = 100);

-- Raises an error unless a commit of this statement means "on disk twice". Tells whether an import is under way. The settings belong
-- to the session, so each statement checks them: when it has run, so that no function in it can change a setting afterwards.
-- NOT NULL, because a transaction that is older than the row of `state` does not see it, and NULL would end the checks of the clock.
CREATE FUNCTION civic.require_durable() RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  importing boolean NOT NULL := (SELECT s.importing FROM civic.state s);
BEGIN
  IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
    OR current_setting('fsync') <> 'on' OR current_setting('full_page_writes') <> 'on'
  THEN
    RAISE EXCEPTION 'civic: synchronous_commit must be on or remote_apply, fsync and full_page_writes on'
      USING ERRCODE = 'CV004';
  END IF;
  IF importing AND NOT pg_has_role(session_user, 'civic_owner', 'MEMBER') THEN
    RAISE EXCEPTION 'civic: an import is under way or was broken off' USING ERRCODE = 'CV006';
  END IF;
  RETURN importing;
END
$$;

CREATE FUNCTION civic.durable() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  importing boolean := civic.require_durable();
BEGIN
  RETURN NULL;
END
$$;

CREATE TRIGGER durable AFTER INSERT OR UPDATE ON civic.latest
FOR EACH STATEMENT EXECUTE FUNCTION civic.durable();

-- The names become a path in the tree that a mirror writes. The body is bound when this file is applied, so no search_path is
-- needed, and the planner puts it in place of the call, which it would not do if the function were STRICT. The length is not part
-- of the pattern: that would be 30 times slower.
CREATE FUNCTION civic.is_name(name text) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN name ~ '^[A-Za-z0-9@_][A-Za-z0-9@_-]*$' AND length(name) <= 128;

-- Runs once for each INSERT into `record`, however many lines and associations it has. It reads the lines in the order in which they
-- were inserted, and refuses a chain that is not in the order of its sequence. The last 111 bytes of a line have a fixed shape,
-- `<received_at>","previous_sha256":"<64 hex>"}}`; the whole receipt is built anew and compared byte by byte. (Reading it as json
-- would fail for ever on a text with \u0000.) A call of a function is an assignment, because PERFORM would make a query of it.
-- No literal has a backslash: `standard_conforming_strings` belongs to the session, and would change what it means.
CREATE FUNCTION civic.append() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  importing boolean := civic.require_durable();
  latest_time text COLLATE "C" := to_char(clock_timestamp() AT TIME ZONE 'UTC' + interval '5 s', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
  line_feed CONSTANT bytea := decode('0a', 'hex');
  one record;
  receipt bytea;
  received_at text COLLATE "C";
  previous text;
  -- the lines of one association that were read so far: its name, the first of them, and the last
  of_addon text;
  of_slug text;
  first_sequence bigint;
  first_previous text;
  from_time text COLLATE "C";
  last_sequence bigint;
  last_sha256 text;
  to_time text COLLATE "C";
  moved boolean;
BEGIN
  FOR one IN SELECT addon, slug, sequence, id, line, octet_length(line) AS length FROM fresh LOOP
    received_at := encode(substring(one.line FROM one.length - 111 FOR 24), 'escape');
    previous := encode(substring(one.line FROM one.length - 66 FOR 64), 'escape');
    receipt := convert_to(format(',"receipt":{"id":"%s","sequence":%s,"received_at":"%s","previous_sha256":"%s"}}',
      encode(one.id, 'hex'), one.sequence, received_at, previous), 'UTF8');
    IF (one.sequence BETWEEN 1 AND 9007199254740991 AND octet_length(one.id) = 32
      AND received_at ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$'
      AND get_byte(one.line, 0) = 123 AND position(line_feed IN one.line) = 0 AND one.length <= 8388608
      AND substring(one.line FROM one.length - octet_length(receipt) + 1) = receipt) IS NOT TRUE
    THEN
      RAISE EXCEPTION 'civic: not lines of a chain' USING ERRCODE = 'CV005';
    END IF;
    IF NOT importing AND received_at > latest_time THEN
      RAISE EXCEPTION 'civic: the clock of the receiver' USING ERRCODE = 'CV003';
    END IF;
    IF one.addon = of_addon AND one.slug = of_slug THEN
      IF one.sequence <> last_sequence + 1 OR previous <> last_sha256 THEN
        RAISE EXCEPTION 'civic: not lines that continue a chain' USING ERRCODE = 'CV005';
      END IF;
      IF received_at < to_time AND NOT importing THEN
        RAISE EXCEPTION 'civic: the clock of the receiver' USING ERRCODE = 'CV003';
      END IF;
      to_time := greatest(to_time, received_at);
    ELSE
      IF (civic.is_name(one.addon) AND civic.is_name(one.slug)) IS NOT TRUE THEN
        RAISE EXCEPTION 'civic: not the name of an association' USING ERRCODE = 'CV005';
      END IF;
      IF of_addon IS NOT NULL THEN
        moved := civic.move_head(of_addon, of_slug, first_sequence, last_sequence, first_previous, last_sha256,
          from_time, to_time, importing);
      END IF;
      of_addon := one.addon;
      of_slug := one.slug;
      first_sequence := one.sequence;
      first_previous := previous;
      from_time := received_at;
      to_time := received_at;
    END IF;
    last_sequence := one.sequence;
    last_sha256 := encode(sha256(one.line), 'hex');
  END LOOP;
  IF of_addon IS NOT NULL THEN
    moved := civic.move_head(of_addon, of_slug, first_sequence, last_sequence, first_previous, last_sha256,
      from_time, to_time, importing);
  END IF;
  RETURN NULL;
END
$$;

-- The compare-and-set. Nobody but `append` may call it, so it runs with the search_path of `append`.
CREATE FUNCTION civic.move_head(
  of_addon text, of_slug text, first bigint, last bigint, previous text, last_sha256 text,
  from_time text, to_time text, importing boolean
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  head record;
BEGIN
  IF first = 1 THEN
    IF previous = repeat('0', 64) THEN
      INSERT INTO civic.association VALUES (of_addon, of_slug, last, last_sha256, to_time) ON CONFLICT DO NOTHING;
      IF FOUND THEN RETURN true; END IF;
    END IF;
    RAISE EXCEPTION 'civic: the head has moved' USING ERRCODE = 'CV001';
  END IF;
  UPDATE civic.association SET count = last, sha256 = last_sha256, received_at = greatest(received_at, to_time)
  WHERE addon = of_addon AND slug = of_slug AND count = first - 1 AND sha256 = previous
    AND (importing OR received_at <= from_time);
  IF NOT FOUND THEN
    SELECT count, sha256 INTO head FROM civic.association WHERE addon = of_addon AND slug = of_slug;
    IF head.count = first - 1 AND head.sha256 = previous THEN
      RAISE EXCEPTION 'civic: the clock of the receiver' USING ERRCODE = 'CV003';
    END IF;
    RAISE EXCEPTION 'civic: the head has moved' USING ERRCODE = 'CV001';
  END IF;
  IF (SELECT encode(sha256(line), 'hex') FROM civic.record
      WHERE addon = of_addon AND slug = of_slug AND sequence = first - 1) IS DISTINCT FROM previous
  THEN
    RAISE EXCEPTION 'civic: the last stored line was altered' USING ERRCODE = 'CV002';
  END IF;
  RETURN true;
END
$$;
REVOKE ALL ON FUNCTION civic.move_head FROM PUBLIC;

CREATE TRIGGER append AFTER INSERT ON civic.record
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION civic.append();

CREATE FUNCTION civic.replace() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (civic.is_name(NEW.addon) AND civic.is_name(NEW.slug) AND civic.is_name(NEW.participant_id)
    AND octet_length(NEW.body) BETWEEN 1 AND 8388608) IS NOT TRUE
  THEN
    RAISE EXCEPTION 'civic: not what a receiver writes' USING ERRCODE = 'CV005';
  END IF;
  NEW.changed := pg_current_xact_id();
  RETURN NEW;
END
$$;

CREATE TRIGGER replace BEFORE INSERT OR UPDATE ON civic.latest
FOR EACH ROW EXECUTE FUNCTION civic.replace();

REVOKE ALL ON FUNCTION civic.append, civic.replace, civic.durable, civic.require_durable, civic.is_name FROM PUBLIC;
RESET ROLE;
