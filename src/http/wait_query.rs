//! The parameters of requests that wait: for how long, and for what. Mistakes are reported in FastAPI's form, as those of lists are.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, Uri};

use super::errors::{HttpError, Mistake};
use super::ignored_parameters::KnownParameters;
use super::query_string::pairs;
use crate::domain::RecordPlace;
use crate::domain::read_position::places_of;

/// The longest time that a request may wait.
pub const LONGEST: Duration = Duration::from_secs(30);

/// The time that a request waits for a position unless it names another.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Number of places that one request may wait for.
const MOST_PLACES: usize = 1_000;

/// The names of the parameters that have one value by which a request waits for a position.
pub const SINGLE: [&str; 2] = ["timeout", "strict"];

/// The parameters by which a request that is answered with views waits for a position.
pub const WAIT_PARAMETERS: KnownParameters = KnownParameters { single: &[&SINGLE], repeated: &["after"] };

static AFTER: HeaderName = HeaderName::from_static("x-optview-after");

/// The wait for a position that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionQuery {
    /// The records that the answer must include.
    pub after: Vec<RecordPlace>,
    pub timeout: Duration,
    /// True if a record that no view shows is an error.
    pub strict: bool,
}

/// Returns the time for which a read by id waits for a view that the client does not have; `None` if it does not ask for that.
pub fn wait_of(uri: &Uri) -> Result<Option<Duration>, HttpError> {
    if uri.query().is_none() {
        return Ok(None);
    }
    let wait = pairs(uri).into_iter().rfind(|(name, _)| name == "wait");
    let Some((_, wait)) = wait else { return Ok(None) };
    duration_of("wait", &wait).map(Some).map_err(|mistake| HttpError::Invalid(vec![mistake]))
}

/// Returns true if a request may wait for a position. It is asked of every request, so it looks no closer than it must.
pub fn may_wait_for_position(uri: &Uri, headers: &HeaderMap) -> bool {
    // A name may be written with escapes.
    let names_one = |query: &str| ["after", "timeout", "strict", "%"].iter().any(|part| query.contains(part));
    uri.query().is_some_and(names_one) || headers.contains_key(&AFTER)
}

impl PositionQuery {
    /// Reads the wait for a position that a request asks for; `None` if it asks for none.
    pub fn of(uri: &Uri, headers: &HeaderMap) -> Result<Option<PositionQuery>, HttpError> {
        let mut query = PositionQuery { after: Vec::new(), timeout: DEFAULT_TIMEOUT, strict: false };
        let mut mistakes = Vec::new();
        for value in headers.get_all(&AFTER) {
            query.add("header", "x-optview-after", value.to_str().unwrap_or_default(), &mut mistakes);
        }
        for (name, value) in pairs(uri) {
            match name.as_str() {
                "after" => query.add("query", "after", &value, &mut mistakes),
                "timeout" => match duration_of("timeout", &value) {
                    Ok(timeout) => query.timeout = timeout,
                    Err(mistake) => mistakes.push(mistake),
                },
                "strict" => match bool_of("strict", &value) {
                    Ok(strict) => query.strict = strict,
                    Err(mistake) => mistakes.push(mistake),
                },
                _ => {}
            }
        }
        if query.after.len() > MOST_PLACES {
            let msg = format!("at most {MOST_PLACES} records can be waited for at once");
            mistakes.push(Mistake { loc: ["query", "after"], msg, kind: "too_long" });
        }
        match mistakes.is_empty() {
            true => Ok((!query.after.is_empty()).then_some(query)),
            false => Err(HttpError::Invalid(mistakes)),
        }
    }

    fn add(&mut self, place: &'static str, name: &'static str, text: &str, mistakes: &mut Vec<Mistake>) {
        match places_of(text) {
            Some(places) => self.after.extend(places),
            None => mistakes.push(Mistake {
                loc: [place, name],
                msg: "Input should be TOPIC:PARTITION:OFFSET, or several of these with commas between them, as \
                      x-optview-position has them"
                    .to_owned(),
                kind: "position_parsing",
            }),
        }
    }
}

/// Reads a parameter that is true or false, in the forms that FastAPI takes.
pub fn bool_of(name: &'static str, text: &str) -> Result<bool, Mistake> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "yes" | "y" | "on" => Ok(true),
        "false" | "0" | "f" | "no" | "n" | "off" => Ok(false),
        _ => {
            let msg = "Input should be a valid boolean, unable to interpret input".to_owned();
            Err(Mistake { loc: ["query", name], msg, kind: "bool_parsing" })
        }
    }
}

/// Reads a duration: with its unit, or in seconds without one.
fn duration_of(name: &'static str, text: &str) -> Result<Duration, Mistake> {
    let mistake = |msg: String, kind| Mistake { loc: ["query", name], msg, kind };
    let text = text.trim();
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text),
    };
    match duration {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        Ok(_) => {
            let msg = format!("Input should be less than or equal to {}s", LONGEST.as_secs());
            Err(mistake(msg, "less_than_equal"))
        }
        Err(_) => {
            let msg = "Input should be a duration, such as 30s, 500ms, or 30 for seconds".to_owned();
            Err(mistake(msg, "duration_parsing"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::NamedPartition;

    fn uri(query: &str) -> Uri {
        format!("/optimizations/a?{query}").parse().unwrap()
    }

    fn kinds<T>(read: Result<T, HttpError>) -> Vec<(&'static str, &'static str)> {
        match read {
            Err(HttpError::Invalid(mistakes)) => mistakes.iter().map(|one| (one.loc[1], one.kind)).collect(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn a_wait_is_a_duration_of_at_most_30_s() {
        for (query, expected) in [
            ("", Ok(None)),
            ("waits=1", Ok(None)),
            ("wait=30s", Ok(Some(30_000))),
            ("wait=30", Ok(Some(30_000))),
            ("wait=1500ms", Ok(Some(1_500))),
            ("wait=bad&wait=0", Ok(Some(0))),
            ("wait=31s", Err("less_than_equal")),
            ("wait=99999999999999999999", Err("duration_parsing")),
            ("wait=", Err("duration_parsing")),
            ("wait=-1", Err("duration_parsing")),
            ("wait=soon", Err("duration_parsing")),
        ] {
            let read = wait_of(&uri(query));
            match expected {
                Ok(millis) => assert_eq!(read.unwrap(), millis.map(Duration::from_millis), "{query}"),
                Err(kind) => assert_eq!(kinds(read), [("wait", kind)], "{query}"),
            }
        }
        assert_eq!(wait_of(&"/optimizations/a".parse().unwrap()).unwrap(), None);
    }

    #[test]
    fn a_wait_for_a_position_names_records_in_the_query_or_in_the_header() {
        let place = |topic: &str, partition, offset| RecordPlace {
            partition: NamedPartition::new(topic, partition),
            offset,
        };
        let none = HeaderMap::new();
        let header = HeaderMap::from_iter([(AFTER.clone(), "jobs:1:7,optimizations:0:3".parse().unwrap())]);
        assert_eq!(PositionQuery::of(&uri("timeout=1"), &none).unwrap(), None);
        let read = PositionQuery::of(&uri("after=jobs:0:5&after=a.b%3A2%3A6&timeout=2s&strict=Yes"), &none);
        assert_eq!(
            read.unwrap(),
            Some(PositionQuery {
                after: vec![place("jobs", 0, 5), place("a.b", 2, 6)],
                timeout: Duration::from_secs(2),
                strict: true,
            })
        );
        let read = PositionQuery::of(&uri(""), &header).unwrap().unwrap();
        assert_eq!(read.after, [place("jobs", 1, 7), place("optimizations", 0, 3)]);
        assert_eq!((read.timeout, read.strict), (DEFAULT_TIMEOUT, false));
        let mistakes = kinds(PositionQuery::of(&uri("after=jobs&timeout=1h&strict=maybe"), &header));
        assert_eq!(
            mistakes,
            [("after", "position_parsing"), ("timeout", "less_than_equal"), ("strict", "bool_parsing")]
        );
    }

    proptest! {
        #[test]
        fn whoever_asks_for_a_position_is_seen_to(
            query in "((a|%61)fter(=[a-z:0-9]{0,9})?&?|(time|tim%65)out(=1)?&|(s|%73)trict(=true)?&|wait=1&|x=after&){0,4}",
        ) {
            let uri = uri(&query);
            if !matches!(PositionQuery::of(&uri, &HeaderMap::new()), Ok(None)) {
                prop_assert!(may_wait_for_position(&uri, &HeaderMap::new()), "{}", query);
            }
        }
    }
}
