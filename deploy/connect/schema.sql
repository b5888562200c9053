-- The tables that `views.json` writes: `psql -v ON_ERROR_STOP=1 -f schema.sql`.

-- The newest record of each optimization that has come, byte for byte, also of those that were deleted: their `view` is null. A deleted one
-- stays as a row, because an older record may still come after it (a worker that stood still, offsets that were set back), and only
-- its version shows that it is older.
CREATE TABLE optimization_rows (
    id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,         -- the header optview-version
    position text NOT NULL,          -- the header optview-position: the view is not beyond it
    view text,                       -- the record's value: JSON, or null
    -- What lists filter by and sort by. The trigger takes it from the view.
    organization_id text,
    project_id text,
    status text,
    kind text,
    created_at timestamptz,
    written_at timestamptz NOT NULL,
    -- A progress mark comes with these two. The trigger leads it into optimization_progress, so that no row has them.
    progress text,
    partition integer,
    CHECK (progress IS NULL AND partition IS NULL)
);

CREATE INDEX optimization_rows_of_a_project ON optimization_rows (organization_id, project_id, created_at DESC, id) WHERE view IS NOT NULL;
CREATE INDEX optimization_rows_deleted ON optimization_rows (written_at) WHERE view IS NULL;

-- How far each partition of the views topic has come: what the event topics have before `positions` is in optimization_rows, as far as
-- it is of ids of this partition.
CREATE TABLE optimization_progress (
    partition integer PRIMARY KEY,
    version bigint NOT NULL,         -- the greatest one before the mark
    positions jsonb NOT NULL,        -- the next offset of each partition of the event topics: {"jobs/0": 4711}
    marked_at timestamptz NOT NULL,  -- when the publisher wrote the mark
    written_at timestamptz NOT NULL  -- when it came here
);

-- PostgreSQL's text cannot have the character U+0000, which JSON can. It becomes U+FFFD in what is read by fields; `view` keeps it.
CREATE FUNCTION optimization_fields(view text) RETURNS json LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN position('\u0000' IN view) = 0 THEN view::json
        ELSE regexp_replace(view, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g')::json END
$$;

CREATE FUNCTION take_optimization_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.progress IS NOT NULL THEN
        INSERT INTO optimization_progress AS held
            SELECT NEW.partition, mark.version, mark.positions, mark.written_at, clock_timestamp()
            FROM json_to_record(NEW.progress::json) AS mark(version bigint, positions jsonb, written_at timestamptz)
            ON CONFLICT (partition) DO UPDATE SET version = excluded.version, positions = excluded.positions,
                marked_at = excluded.marked_at, written_at = excluded.written_at
            WHERE (excluded.version, excluded.marked_at) > (held.version, held.marked_at);
        RETURN NULL;
    END IF;
    -- Whatever comes late, or again, changes nothing.
    IF TG_OP = 'UPDATE' AND NEW.version <= OLD.version THEN
        RETURN NULL;
    END IF;
    SELECT fields.organization_id, fields.project_id, fields.status, fields.kind, fields.created_at
        INTO NEW.organization_id, NEW.project_id, NEW.status, NEW.kind, NEW.created_at
        FROM json_to_record(optimization_fields(NEW.view))
            AS fields(organization_id text, project_id text, status text, kind text, created_at timestamptz);
    NEW.written_at := clock_timestamp();
    RETURN NEW;
END
$$;

CREATE TRIGGER take_optimization_record BEFORE INSERT OR UPDATE ON optimization_rows
    FOR EACH ROW EXECUTE FUNCTION take_optimization_record();

-- What readers read: the 19 fields of each optimization that there is.
CREATE VIEW optimizations AS
    SELECT rows.id, fields.name, fields.description, rows.project_id, rows.organization_id, rows.status, rows.kind, rows.created_at,
        fields.created_by_email, fields.cell_spec_id, fields.parameterized_model_id, fields.parameterized_model_name, fields.cell_name,
        fields.optimization_template_id, fields.metrics, fields.objectives, fields.error, fields.error_code, fields.run_count
    FROM optimization_rows AS rows, json_to_record(optimization_fields(rows.view)) AS fields(name text, description text,
        created_by_email text, cell_spec_id text, parameterized_model_id text, parameterized_model_name text, cell_name text,
        optimization_template_id text, metrics json, objectives json, error text, error_code text, run_count bigint)
    WHERE rows.view IS NOT NULL;
