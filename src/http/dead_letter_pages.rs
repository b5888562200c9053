//! `GET /dead-letters` at the operators' address: the records that were not understood, page by page. Unlike `optview dead-letters`
//! it shows no values, and changes nothing.

use axum::extract::Request;
use axum::http::Uri;

use super::errors::{HttpError, Mistake};
use super::list_query::{DEFAULT_LIMIT, limit_of, mistake};
use super::query_string::pairs;
use crate::dead_letters::{LetterSelection, PageRequest, parse_id};
use crate::domain::{PartitionOffset, Topic};
use crate::source::TopicNames;

/// Reads the parameters of a page: `limit`, `after`, `topic` and `reason`. Of one that is given twice the last counts.
pub fn page_request(request: &Request, topics: &TopicNames) -> Result<PageRequest, HttpError> {
    parse(request.uri(), topics)
}

fn parse(uri: &Uri, topics: &TopicNames) -> Result<PageRequest, HttpError> {
    let mut page = PageRequest { limit: DEFAULT_LIMIT, after: None, topic: None, reason: None };
    let mut mistakes = Vec::new();
    for (name, value) in pairs(uri) {
        let set = match name.as_str() {
            "limit" => limit_of(&value).map(|limit| page.limit = limit),
            "after" => after(&value, topics).map(|after| page.after = Some(after)),
            "topic" => topic(value, topics).map(|topic| page.topic = topic),
            "reason" => {
                page.reason = Some(value);
                Ok(())
            }
            _ => Ok(()),
        };
        mistakes.extend(set.err());
    }
    if mistakes.is_empty() { Ok(page) } else { Err(HttpError::Invalid(mistakes)) }
}

fn after(id: &str, topics: &TopicNames) -> Result<PartitionOffset, Mistake> {
    parse_id(id, topics).ok_or_else(|| {
        let msg =
            "Input should be a dead letter's id, TOPIC/PARTITION@OFFSET, as `next` of a page has it".to_owned();
        mistake("after", msg, "value_error")
    })
}

fn topic(name: String, topics: &TopicNames) -> Result<Option<Topic>, Mistake> {
    let selection = LetterSelection { topic: Some(name), ..LetterSelection::default() };
    selection.stream(topics).map_err(|error| mistake("topic", error.to_string(), "value_error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Result<PageRequest, Vec<&'static str>> {
        let topics = TopicNames::new("o".to_owned(), "jobs.v1".to_owned(), "r".to_owned());
        let uri = format!("/dead-letters?{query}").parse().unwrap();
        parse(&uri, &topics).map_err(|error| match error {
            HttpError::Invalid(mistakes) => mistakes.iter().map(|mistake| mistake.loc[1]).collect(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_page_is_asked_for_by_its_parameters() {
        let all = PageRequest { limit: DEFAULT_LIMIT, after: None, topic: None, reason: None };
        assert_eq!(parsed(""), Ok(all.clone()));
        assert_eq!(parsed("unknown=1&limit=1000"), Ok(PageRequest { limit: 1000, ..all.clone() }));
        let page = parsed("after=jobs.v1/3@41&topic=jobs&reason=none%20of").unwrap();
        assert_eq!(page.after.map(|at| (at.topic, at.partition, at.offset)), Some((Topic::Jobs, 3, 41)));
        assert_eq!((page.topic, page.reason.as_deref()), (Some(Topic::Jobs), Some("none of")));
        assert_eq!(parsed("topic=jobs.v1"), Ok(PageRequest { topic: Some(Topic::Jobs), ..all }));
    }

    #[test]
    fn every_mistake_is_named() {
        assert_eq!(parsed("limit=0&after=jobs/1@2&topic=x"), Err(vec!["limit", "after", "topic"]));
        for id in ["", "jobs.v1", "jobs.v1/1", "jobs.v1/1@", "jobs.v1/-1@2", "jobs.v1/1@99999999999999999999"] {
            assert_eq!(parsed(&format!("after={id}")), Err(vec!["after"]), "{id}");
        }
    }
}
