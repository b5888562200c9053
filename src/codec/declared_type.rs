//! Checks the message type that headers declare. A message of one stream can decode as another's, above all in
//! protobuf, so that a record that declares another stream's type is refused.

use strum::VariantNames as _;

use super::{DecodeError, framing};
use crate::domain::event::JobChange;
use crate::domain::record::Header;
use crate::domain::{OptimizationEvent, RunEvent, Topic};

/// The parameters of `content-type` that name a message, in lower case.
const PARAMETERS: [&str; 3] = ["messagetype", "proto", "message"];

/// Refuses a record whose headers (`ce_type`, and the parameters of `content-type`) name a message of another
/// stream. Names that are not the contract's are ignored.
pub fn check(topic: Topic, headers: &[Header<'_>]) -> Result<(), DecodeError> {
    if headers.is_empty() {
        return Ok(());
    }
    if let Some(declared) = framing::header_text(headers, "ce_type")? {
        check_name(topic, "the header ce_type", declared)?;
    }
    let content_type = framing::header_text(headers, "content-type")?.unwrap_or_default();
    for parameter in content_type.split(';').skip(1) {
        let Some((name, declared)) = parameter.split_once('=') else { continue };
        if PARAMETERS.contains(&name.trim().to_ascii_lowercase().as_str()) {
            check_name(topic, "the header content-type", declared.trim().trim_matches('"'))?;
        }
    }
    Ok(())
}

/// Refuses a record of which `place` names a message of another stream.
pub fn check_name(topic: Topic, place: &'static str, declared: &str) -> Result<(), DecodeError> {
    match stream_of(declared) {
        Some(stream) if stream != topic => {
            Err(DecodeError::OtherStream { place, declared: format!("{declared:.128}"), stream, topic })
        }
        _ => Ok(()),
    }
}

/// Returns the stream that a message of the contract belongs to, by its name with or without a package.
fn stream_of(declared: &str) -> Option<Topic> {
    let name = declared.rsplit(['.', '/', ':', '#']).next()?;
    let streams = [
        (Topic::Optimizations, "Optimization", OptimizationEvent::VARIANTS),
        (Topic::Jobs, "Job", JobChange::VARIANTS),
        (Topic::MultistartRuns, "MultistartRun", RunEvent::VARIANTS),
    ];
    let is_of = |subject: &str, kinds: &[&str]| {
        let Some(kind) = name.strip_prefix(subject) else { return false };
        kind == "Event" || kinds.iter().any(|known| is_camel_case_of(kind, known))
    };
    streams.into_iter().find(|(_, subject, kinds)| is_of(subject, kinds)).map(|(stream, ..)| stream)
}

/// Returns true if both are the same name: `JobLinked` is `job_linked`.
fn is_camel_case_of(camel: &str, snake: &str) -> bool {
    let mut begins_word = true;
    let capitalized = snake.bytes().filter_map(|byte| {
        let is_first = std::mem::replace(&mut begins_word, byte == b'_');
        (byte != b'_').then(|| if is_first { byte.to_ascii_uppercase() } else { byte })
    });
    capitalized.eq(camel.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_the_contract_is_of_its_stream_and_no_other_name_is() {
        for (name, stream) in [
            ("optview.events.v1.OptimizationEvent", Topic::Optimizations),
            ("OptimizationCreated", Topic::Optimizations),
            ("type.googleapis.com/optview.events.v1.OptimizationDisplayNamesChanged", Topic::Optimizations),
            ("OptimizationJobLinked", Topic::Optimizations),
            ("JobEvent", Topic::Jobs),
            ("JobWaiting", Topic::Jobs),
            ("MultistartRunEvent", Topic::MultistartRuns),
            ("MultistartRunStarted", Topic::MultistartRuns),
        ] {
            assert_eq!(stream_of(name), Some(stream), "{name}");
        }
        for name in
            ["", "Job", "JobStarted", "Jobwaiting", "OptimizationJoblinked", "Optimization_created", "MyJobEvent"]
        {
            assert_eq!(stream_of(name), None, "{name}");
        }
    }
}
