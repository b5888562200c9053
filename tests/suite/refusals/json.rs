//! Refusals of JSON.

use optview::domain::Topic;

use super::case::{ARRAY, Case, NO_JOB_EVENT, bytes, check, created, job, json, run};

#[test]
fn json_that_is_not_understood_is_refused_with_the_field_and_the_reason() {
    check(&[json_without_an_event, json_shapes, identities, metadata_and_times, numbers, nesting]);
}

fn json_without_an_event() -> Vec<Case> {
    vec![
        job(r#""exploded":{}"#, "(job); there is `exploded`, (unknown)"),
        json(
            Topic::Optimizations,
            r#""optimizationId":"opt-1","pending":{}"#,
            "(optimization); there is `pending`, (unknown)",
        ),
        run(r#""pending":{}"#, "(run); there is `pending`, (unknown)"),
        job(r#""createdd":{},"pendingg":1"#, "(job); there is `createdd`, `pendingg`, (unknown)"),
        job(r#""pending":null"#, "(job); there is `pending`: null, which is as absent"),
        job(r#""pending":null,"exploded":{}"#, "(job); there is `exploded`, (unknown)"),
        job(r#""optimizationId":null"#, NO_JOB_EVENT),
        json(
            Topic::Optimizations,
            r#""optimizationId":"opt-1","jobLinked":null"#,
            "(optimization); there is `jobLinked`: null, which is as absent",
        ),
    ]
}

fn json_shapes() -> Vec<Case> {
    use Topic::{Jobs, MultistartRuns, Optimizations};
    vec![
        bytes(Jobs, "{", "(JSON) EOF while parsing an object at line 1 column 1"),
        bytes(Jobs, "{}", NO_JOB_EVENT),
        bytes(Jobs, "{} {}", "the payload is several JSON values: send one event a record"),
        bytes(Jobs, b"{\"jobId\":\"\xff\"}", "(JSON) invalid utf-8 sequence of 1 bytes from index 10"),
        bytes(Jobs, "[]", ARRAY).header("content-type", "application/json"),
        bytes(Jobs, "null", "(JSON) invalid type: null, expected an object at line 1 column 4")
            .header("content-type", "application/json"),
        bytes(Jobs, " {}", NO_JOB_EVENT).header("content-type", "application/json"),
        job(r#""pending":[]"#, "pending: invalid type: sequence, expected an object at line 1 column 107"),
        job(
            r#""pending":"yes""#,
            r#"pending: invalid type: string "yes", expected an object at line 1 column 112"#,
        ),
        job(
            r#""failed":["solver did not converge","SOLVER_ERROR"]"#,
            "failed: invalid type: sequence, expected an object at line 1 column 106",
        ),
        job(
            r#""failed":{"error":5}"#,
            "failed.error: invalid type: integer `5`, expected a string at line 1 column 116",
        ),
        job(
            r#""failed":{"errorCode":["A"]}"#,
            "failed.errorCode: invalid type: sequence, expected a string at line 1 column 119",
        ),
        job(
            r#""failed":{"error_code":{}}"#,
            "failed.error_code: invalid type: map, expected a string at line 1 column 120",
        ),
        job(r#""failed":{"error":"\ud800"}"#, "failed.error: unexpected end of hex escape at line 1 column 123"),
        job(r#""completed":{"metrics":[1]}"#, "completed.metrics: is not a JSON object"),
        job(r#""completed":{"metrics":"none"}"#, "completed.metrics: is not a JSON object"),
        run(r#""completed":{"parameterValues":[1]}"#, "completed.parameter_values: is not a JSON object"),
        created(r#""objectives":7"#, "created.objectives: is not a JSON object"),
        created(
            r#""objectives":{"a":"\ud800"}"#,
            r#"created.objectives: has the text "\ud800", which is not Unicode"#,
        ),
        created(
            r#""objectives":{"\udc00":1}"#,
            r#"created.objectives: has the text "\udc00", which is not Unicode"#,
        ),
        created(
            r#""name":true"#,
            "created.name: invalid type: boolean `true`, expected a string at line 1 column 173",
        ),
        created(r#""organization_id":"org-2""#, "created: duplicate field `organizationId` at line 1 column 179"),
        job(
            r#""pending":{},"processing":{}"#,
            "event: more than one of pending, processing, waiting, completed, failed, canceled is set",
        ),
        job(r#""pending":{},"pending":{}"#, "(JSON) duplicate field `pending` at line 1 column 119"),
        json(
            Optimizations,
            r#""optimizationId":"opt-1","deleted":{},"job_linked":{"jobId":"j"}"#,
            "event: more than one of created, details_changed, display_names_changed, job_linked, deleted is set",
        ),
        run(r#""started":{},"failed":{}"#, "event: more than one of started, completed, failed, canceled is set"),
        json(
            MultistartRuns,
            r#""job_id":"job-1","jobId":"job-1","started":{}"#,
            "(JSON) duplicate field `jobId` at line 1 column 105",
        ),
    ]
}

fn identities() -> Vec<Case> {
    use Topic::{Jobs, MultistartRuns, Optimizations};
    let long = "i".repeat(1025);
    vec![
        json(Jobs, r#""pending":{}"#, "job_id: is missing or empty"),
        json(Jobs, r#""jobId":"","pending":{}"#, "job_id: is missing or empty"),
        json(Jobs, r#""jobId":null,"pending":{}"#, "job_id: is missing or empty"),
        json(
            Jobs,
            r#""jobId":1,"pending":{}"#,
            "jobId: invalid type: integer `1`, expected a string at line 1 column 90",
        ),
        json(Jobs, &format!(r#""jobId":"{long}","pending":{{}}"#), "job_id: has 1025 bytes(long)"),
        job(&format!(r#""optimizationId":"{long}","pending":{{}}"#), "optimization_id: has 1025 bytes(long)"),
        json(MultistartRuns, r#""runIndex":1,"started":{}"#, "job_id: is missing or empty"),
        json(Optimizations, r#""deleted":{}"#, "optimization_id: is missing or empty"),
        json(
            Optimizations,
            r#""optimizationId":"opt-1","created":{"projectId":"prj-1"}"#,
            "created.organization_id: is missing or empty",
        ),
        json(
            Optimizations,
            r#""optimizationId":"opt-1","created":{"organizationId":"org-1"}"#,
            "created.project_id: is missing or empty",
        ),
        json(
            Optimizations,
            r#""optimizationId":"opt-1","jobLinked":{}"#,
            "job_linked.job_id: is missing or empty",
        ),
        created(r#""jobId":"""#, "created.job_id: is missing or empty"),
        created(&format!(r#""jobId":"{long}""#), "created.job_id: has 1025 bytes(long)"),
        created(&format!(r#""kind":"{long}""#), "created.kind: has 1025 bytes(long)"),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn metadata_and_times() -> Vec<Case> {
    let time = r#""occurredAt":"2026-03-01T09:00:00Z""#;
    let id = r#""eventId":"e-1""#;
    vec![
        metadata("null", "metadata.event_id: is missing, and so is the header ce_id"),
        metadata("[]", "metadata: invalid type: sequence, expected an object at line 1 column 12"),
        metadata(&format!("{{{time}}}"), "metadata.event_id: is missing, and so is the header ce_id"),
        metadata(
            &format!(r#"{{"eventId":"",{time}}}"#),
            "metadata.event_id: is missing, and so is the header ce_id",
        ),
        metadata(
            &format!(r#"{{"eventId":"{}",{time}}}"#, "e".repeat(1025)),
            "metadata.event_id: has 1025 bytes(long)",
        ),
        metadata(&format!("{{{time}}}"), "metadata.event_id: has 1025 bytes(long)")
            .header("ce_id", "e".repeat(1025)),
        metadata(&format!("{{{time}}}"), "header ce_id: incomplete utf-8 byte sequence from index 0")
            .header("ce_id", b"\xc3"),
        metadata(&format!("{{{id}}}"), "metadata.occurred_at: is missing, and so is the header ce_time"),
        metadata(&format!("{{{id}}}"), "header ce_time: `yesterday` (time)").header("ce_time", "yesterday"),
        metadata(&format!(r#"{{{id},"occurredAt":""}}"#), "metadata.occurred_at: `` (time)"),
        metadata(
            &format!(r#"{{{id},{time},"sequence":"+5"}}"#),
            "metadata.sequence: invalid value: \"+5\", expected an unsigned integer, or one in a string at line 1 column 81",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":"2026-03-01 09:00:00Z"}}"#),
            "metadata.occurred_at: `2026-03-01 09:00:00Z` (time)",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":1772355600}}"#),
            "metadata.occurredAt: invalid type: integer `1772355600`, expected a string at line 1 column 52",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":"2026-03-01T09:00:00"}}"#),
            "metadata.occurred_at: `2026-03-01T09:00:00` (time)",
        ),
        metadata(
            &format!(r#"{{{id},"occurred_at":"+300000-01-01T00:00:00Z"}}"#),
            "metadata.occurred_at: `+300000-01-01T00:00:00Z` (time)",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":"0000-12-31T00:00:00Z"}}"#),
            "metadata.occurred_at: `0000-12-31T00:00:00Z` (time)",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":"2026-02-30T09:00:00Z"}}"#),
            "metadata.occurred_at: `2026-02-30T09:00:00Z` (time)",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":"{}"}}"#, "9".repeat(1000)),
            "metadata.occurred_at: `9999999999999999999999999999999999999999999999999999999999999999` (time)",
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":-1}}"#),
            "metadata.sequence: invalid value: -1, (unsigned) at line 1 column 79",
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":1.5}}"#),
            "metadata.sequence: invalid value: 1.5, (unsigned) at line 1 column 80",
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":"one"}}"#),
            r#"metadata.sequence: invalid value: "one", (unsigned) at line 1 column 82"#,
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":18446744073709551616}}"#),
            "metadata.sequence: invalid value: 18446744073709551616, (unsigned) at line 1 column 97",
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":"18446744073709551616"}}"#),
            r#"metadata.sequence: invalid value: "18446744073709551616", (unsigned) at line 1 column 99"#,
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":true}}"#),
            "metadata.sequence: invalid value: true, (unsigned) at line 1 column 81",
        ),
        created(r#""createdAt":"never""#, "created.created_at: `never` (time)"),
    ]
}

fn numbers() -> Vec<Case> {
    vec![
        run(
            r#""completed":{"cost":"1e400"}"#,
            r#"completed.cost: invalid value: "1e400", expected a number, or one in a string at line 1 column 125"#,
        ),
        run(
            r#""completed":{"cost":"low"}"#,
            r#"completed.cost: invalid value: "low", expected a number, or one in a string at line 1 column 123"#,
        ),
        job(r#""failed":{"error":NaN}"#, "failed.error: expected value at line 1 column 116"),
        run(r#""runIndex":NaN,"started":{}"#, "runIndex: expected value at line 1 column 109"),
        run(r#""runIndex":1e-1,"started":{}"#, "runIndex: invalid value: 1e-1, (unsigned) at line 1 column 112"),
        run(
            r#""runIndex":"1.5","started":{}"#,
            r#"runIndex: invalid value: "1.5", (unsigned) at line 1 column 113"#,
        ),
        run(
            r#""completed":{"iterations":-1}"#,
            "completed.iterations: invalid value: -1, (unsigned) at line 1 column 126",
        ),
        run(
            r#""completed":{"evaluations":"many"}"#,
            r#"completed.evaluations: invalid value: "many", (unsigned) at line 1 column 131"#,
        ),
        run(r#""runIndex":4294967296,"started":{}"#, "run_index: 4294967296 is above 4294967295"),
        run(r#""runIndex":-1,"started":{}"#, "runIndex: invalid value: -1, (unsigned) at line 1 column 110"),
        run(r#""runIndex":0.5,"started":{}"#, "runIndex: invalid value: 0.5, (unsigned) at line 1 column 111"),
    ]
}

fn nesting() -> Vec<Case> {
    let deep = nested(100_000);
    vec![
        created(&format!(r#""objectives":{{"a":{deep}}}"#), "created.objectives: nests deeper than 100 levels"),
        created(
            &format!(r#""objectives":{}"#, r#"{"a":"#.repeat(100_000)),
            "created.objectives: expected value at line 1 column 500176",
        ),
        created(
            &format!(r#""objectives":{{"a":{}}}"#, nested(100)),
            "created.objectives: nests deeper than 100 levels",
        ),
        job(
            &format!(r#""completed":{{"metrics":{{"a":{deep}}}}}"#),
            "completed.metrics: nests deeper than 100 levels",
        ),
        job(&format!(r#""completed":{{"metrics":{deep}}}"#), "completed.metrics: is not a JSON object"),
        job(
            &format!(r#""pending":{deep}"#),
            "pending: invalid type: sequence, expected an object at line 1 column 107",
        ),
        job(&format!(r#""later":{deep}"#), NO_JOB_EVENT),
        bytes(Topic::Jobs, deep.clone(), ARRAY).header("content-type", "application/json"),
        bytes(
            Topic::Jobs,
            "{\"pending\":".repeat(100_000),
            "(JSON) EOF while parsing a value at line 1 column 1100000",
        ),
        // The payload is nested unknown groups.
        bytes(Topic::Jobs, [0x7b].repeat(100_000), "(protobuf) recursion limit reached")
            .header("content-type", "application/protobuf"),
    ]
}

/// Returns a job event with invalid metadata.
fn metadata(metadata: &str, expected: &'static str) -> Case {
    bytes(Topic::Jobs, format!(r#"{{"metadata":{metadata},"jobId":"job-1","pending":{{}}}}"#), expected)
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}
