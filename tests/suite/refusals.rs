//! A record that cannot be decoded is refused with the field and the reason, and never with a panic: a record from outside
//! can hold anything. The cases are in one file an encoding.

mod case;
mod damage;
mod framing;
mod json;
mod protobuf;

use optview::domain::Topic;

use case::{created, job, null};
use protobuf::{field, nested_lists, protobuf_created};

#[test]
fn what_a_reason_quotes_of_a_record_is_short() {
    let megabyte = "A".repeat(1 << 20);
    let deep = field(1, &[field(1, b"a"), field(2, &nested_lists(100_000))].concat());
    let pending = || job(r#""pending":{}"#, "");
    for (case, begin, end) in [
        (pending().header("content-type", megabyte.clone()), "the content-type `AAA", "application/protobuf"),
        (
            job(&format!(r#""pending":"{megabyte}""#), ""),
            "pending: invalid type: string",
            "expected an object at line",
        ),
        (job(&format!(r#""{megabyte}":NaN"#), ""), "AAA", "expected value at line 1 column"),
        (created(&format!(r#""createdAt":"{megabyte}""#), ""), "created.created_at: `AAA", "1 to 9999"),
        (
            created(&format!(r#""objectives":{{"a":"\ud800{}"}}"#, "0".repeat(1 << 20)), ""),
            "created.objectives",
            "not Unicode",
        ),
        (null(Topic::Optimizations, "").header("ce_time", megabyte.clone()), "header ce_time: `AAA", "1 to 9999"),
        (protobuf_created(&deep, ""), "the payload is not protobuf: ", "recursion limit reached"),
    ] {
        let refusal = case.refusal().unwrap_err().to_string();
        assert!(refusal.len() < 1_000, "{} bytes: {refusal:.200}", refusal.len());
        assert!(refusal.starts_with(begin) && refusal.contains(end), "{refusal}");
    }
}
