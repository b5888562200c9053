//! The trace that a request belongs to (W3C Trace Context, `traceparent`). Log lines about the request carry it, and the answer has it
//! with the span that the answer was given in. No trace is begun here.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Span;

use super::{correlation, hex};

pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The lengths of the parts of a `traceparent`, which have a dash between them: the version, the trace, the caller's span, the flags.
const PARTS: [usize; 4] = [2, 32, 16, 2];

/// A request's place in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: String,
    /// The span in which the caller sent the request.
    parent_id: String,
    /// The span in which it is answered.
    span_id: String,
    flags: String,
}

impl TraceContext {
    /// Reads the place of a request; `None` if it names none that is valid.
    pub fn of(headers: &HeaderMap) -> Option<TraceContext> {
        let value = headers.get(&TRACEPARENT)?.to_str().ok()?;
        let mut parts = value.split('-');
        let mut read = [""; 4];
        for (part, length) in read.iter_mut().zip(PARTS) {
            *part = parts.next().filter(|part| part.len() == length && part.bytes().all(is_digit))?;
        }
        let [version, trace_id, parent_id, flags] = read;
        let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
        // A version to come may have more parts; this one has not.
        let has_more = parts.next().is_some();
        if version == "ff" || is_zero(trace_id) || is_zero(parent_id) || (version == "00" && has_more) {
            return None;
        }
        let span_id = hex::of_u64(correlation::random().max(1)).map(char::from).into_iter().collect();
        let [trace_id, parent_id, flags] = [trace_id, parent_id, flags].map(str::to_owned);
        Some(TraceContext { trace_id, parent_id, span_id, flags })
    }

    /// Makes the span of the log lines about the request.
    pub fn span(&self) -> Span {
        let TraceContext { trace_id, parent_id, span_id, .. } = self;
        // Of the highest level, so that it is there with whatever line the filter lets through.
        tracing::error_span!("request", trace_id, span_id, parent_id)
    }

    /// Returns the `traceparent` of the answer.
    pub fn header(&self) -> HeaderValue {
        let TraceContext { trace_id, span_id, flags, .. } = self;
        HeaderValue::try_from(format!("00-{trace_id}-{span_id}-{flags}"))
            .expect("digits and dashes are a valid value")
    }
}

/// Returns true for a hexadecimal digit as the standard has it: not for capital letters.
fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn of(value: &str) -> Option<TraceContext> {
        TraceContext::of(&HeaderMap::from_iter([(TRACEPARENT.clone(), HeaderValue::try_from(value).unwrap())]))
    }

    #[test]
    fn a_request_of_a_trace_is_answered_with_the_trace_and_a_span_of_its_own() {
        let text = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let (first, second) = (of(&text).unwrap(), of(&text).unwrap());
        assert_eq!((first.trace_id.as_str(), first.parent_id.as_str()), (TRACE, "00f067aa0ba902b7"));
        assert_ne!(first.span_id, second.span_id);
        let answer = first.header().to_str().unwrap().to_owned();
        assert_eq!(answer, format!("00-{TRACE}-{}-01", first.span_id));
        assert_eq!(of(&answer).unwrap().parent_id, first.span_id, "it is a traceparent itself");
        assert!(of(&format!("01-{TRACE}-00f067aa0ba902b7-01-more")).is_some(), "a version to come");
    }

    #[test]
    fn what_is_no_traceparent_is_ignored() {
        for text in [
            "",
            "00",
            &format!("00-{TRACE}-00f067aa0ba902b7"),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}x-00f067aa0ba902b7-01"),
            &format!("0-{TRACE}-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(TraceContext::of(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_what_is_answered_is_valid(value in "[ -~]{0,70}|0[0-9a-f]-[0-9a-f]{32}-[0-9a-f]{16}-0[01](-x)?") {
            if let Some(context) = of(&value) {
                let again = of(context.header().to_str().unwrap()).unwrap();
                prop_assert_eq!(again.trace_id, context.trace_id);
            }
        }
    }
}
