//! The views that readers can see, read through the lists and by id.

use std::collections::BTreeMap;

use optview::synthetic::Expectation;
use serde_json::Value;

use crate::server::{Answer, Server};

/// The lists' items by id.
pub struct VisibleViews<'s> {
    server: &'s Server,
    items: BTreeMap<String, Value>,
}

impl<'s> VisibleViews<'s> {
    /// Reads the lists to their end.
    pub fn of(server: &'s Server) -> VisibleViews<'s> {
        let mut items = BTreeMap::new();
        loop {
            let page = list(server, &format!("limit=1000&offset={}", items.len()));
            let listed = page["optimizations"].as_array().expect("a list");
            if listed.is_empty() {
                assert_eq!(page["total"], items.len(), "each of them is on one page");
                return VisibleViews { server, items };
            }
            items.extend(listed.iter().map(|item| (item["id"].as_str().expect("an id").to_owned(), item.clone())));
        }
    }

    /// Checks the number of views, in all and of each status, both as the lists count them and as they are.
    pub fn check_counts(&self, expectation: &Expectation) {
        assert_eq!(self.items.len() as u64, expectation.optimizations);
        let by_status = &expectation.by_status;
        for (status, count) in [
            ("queued", by_status.queued),
            ("running", by_status.running),
            ("succeeded", by_status.succeeded),
            ("failed", by_status.failed),
            ("canceled", by_status.canceled),
        ] {
            let counted = list(self.server, &format!("limit=1&status={status}"));
            assert_eq!(counted["total"], count, "{status}");
            let is = |item: &&Value| item["status"] == status;
            assert_eq!(self.items.values().filter(is).count() as u64, count, "{status}");
        }
        assert_eq!(self.items.values().filter(|item| item["status"].is_null()).count() as u64, by_status.none);
        let run_counts = self.items.values().map(|item| item["run_count"].as_u64().expect("a count"));
        assert_eq!(run_counts.sum::<u64>(), expectation.run_count);
    }

    /// Checks that the view is this one, by id and in the list, or that it is in neither if `view` is `None`.
    pub fn check(&self, id: &str, view: Option<Value>) {
        let Answer { status, body } = self.server.get(&format!("/optimizations/{id}"));
        let Some(view) = view else {
            assert_eq!((status, self.items.get(id)), (404, None), "{id}");
            return;
        };
        assert_eq!(status, 200, "{id}: {body}");
        assert_eq!(body, view, "{id}");
        let mut item = self.items[id].clone();
        item["objectives"] = Value::Null;
        assert_eq!(item, view, "{id}");
    }
}

fn list(server: &Server, query: &str) -> Value {
    let Answer { status, body } = server.get(&format!("/optimizations?{query}"));
    assert_eq!(status, 200, "{query}: {body}");
    body
}
