//! Checks the message type that headers declare. A message of one stream can decode as another's, above all in
//! protobuf, so that a record that declares another stream's type is refused.

use super::{DecodeError, framing};
use crate::domain::Topic;
use crate::domain::record::Header;

/// The parameters of `content-type` that name a message, in lower case.
const PARAMETERS: [&str; 3] = ["messagetype", "proto", "message"];

/// Refuses a record whose headers (`ce_type`, and the parameters of `content-type`) name a message of another
/// stream. Names that are not the contract's are ignored.
pub fn check(topic: Topic, headers: &[Header<'_>]) -> Result<(), DecodeError> {
    if headers.is_empty() {
        return Ok(());
    }
    if let Some(declared) = framing::header_text(headers, "ce_type")? {
        check_name(topic, "ce_type", declared)?;
    }
    let content_type = framing::header_text(headers, "content-type")?.unwrap_or_default();
    for parameter in content_type.split(';').skip(1) {
        let Some((name, declared)) = parameter.split_once('=') else { continue };
        if PARAMETERS.contains(&name.trim().to_ascii_lowercase().as_str()) {
            check_name(topic, "content-type", declared.trim().trim_matches('"'))?;
        }
    }
    Ok(())
}

fn check_name(topic: Topic, header: &'static str, declared: &str) -> Result<(), DecodeError> {
    match stream_of(declared) {
        Some(stream) if stream != topic => {
            Err(DecodeError::OtherStream { header, declared: format!("{declared:.128}"), stream, topic })
        }
        _ => Ok(()),
    }
}

/// Returns the stream that a message of the contract belongs to, by its name with or without a package.
fn stream_of(declared: &str) -> Option<Topic> {
    let name = declared.rsplit(['.', '/', ':', '#']).next()?;
    match name {
        "OptimizationEvent"
        | "OptimizationCreated"
        | "OptimizationDetailsChanged"
        | "OptimizationDisplayNamesChanged"
        | "OptimizationJobLinked"
        | "OptimizationDeleted" => Some(Topic::Optimizations),
        "JobEvent" | "JobPending" | "JobProcessing" | "JobWaiting" | "JobCompleted" | "JobFailed"
        | "JobCanceled" => Some(Topic::Jobs),
        "MultistartRunEvent"
        | "MultistartRunStarted"
        | "MultistartRunCompleted"
        | "MultistartRunFailed"
        | "MultistartRunCanceled" => Some(Topic::MultistartRuns),
        _ => None,
    }
}
