//! The checks of the catalog that `verify` calls. Each call takes no longer than a change of the catalog does.

use std::sync::Arc;

use super::order::Order;
use super::{Catalog, Timestamp, by_creation};

/// A check of one list, leaf by leaf. The list may change meanwhile.
pub struct ListCheck {
    scope: u32,
    /// The last place that was checked: its time of creation, and its id.
    last: Option<(Timestamp, Arc<str>)>,
}

impl ListCheck {
    pub fn new(scope: u32) -> ListCheck {
        ListCheck { scope, last: None }
    }
}

impl Catalog {
    /// Returns the id of the optimization with a number.
    pub fn id_of(&self, number: u32) -> Option<Arc<str>> {
        self.slot(number).map(|slot| slot.id.clone())
    }

    /// Returns one more than the greatest number of a list.
    pub fn lists_end(&self) -> u32 {
        self.scopes.end()
    }

    /// Returns the name of a list, and true if it is a project's. `None` if no list has this number.
    pub fn list_name(&self, scope: u32) -> Option<(String, bool)> {
        let scope = self.scopes.get(scope)?;
        Some(match (&scope.organization_id, &scope.project_id) {
            (Some(organization), Some(project)) => (format!("{project} of {organization}"), true),
            (Some(organization), None) => (format!("all of {organization}"), false),
            (None, Some(project)) => (format!("{project} of any organization"), false),
            (None, None) => ("all projects".to_owned(), false),
        })
    }

    /// Returns a snapshot of a list. It is empty if no list has this number.
    pub fn snapshot(&self, scope: u32) -> Order {
        self.scopes.get(scope).map(|scope| scope.order.clone()).unwrap_or_default()
    }

    /// Returns the way in which the indexes disagree with an optimization's entry, if they do.
    pub fn inconsistency(&self, number: u32) -> Option<String> {
        let slot = self.slot(number)?;
        if self.ids.get(&slot.id) != Some(number) {
            return Some("its id is not found in the catalog".to_owned());
        }
        if slot.jobs.iter().any(|job| !self.jobs.get(job).is_some_and(|linking| linking.contains(&number))) {
            return Some("it is not found by the job that it links".to_owned());
        }
        let listed = slot.listed?;
        let compare = by_creation(&self.slots);
        let mut scopes = self.scopes.with_those_around(listed.project).into_iter();
        let is_in_all = scopes.all(|scope| {
            self.scopes.get(scope).is_some_and(|scope| scope.order.contains(listed.place(number), &compare))
        });
        (!is_in_all).then(|| "it is not in every list that it belongs to".to_owned())
    }

    /// Checks the next places of a list. Returns true if there may be more, or the error of one of them.
    pub fn check_list(&self, check: &mut ListCheck) -> Result<bool, String> {
        let Some(scope) = self.scopes.get(check.scope) else { return Ok(false) };
        let is_after = |number: u32| {
            let Some((created_at, id)) = &check.last else { return true };
            let slot = self.slot(number);
            let time = slot.and_then(|slot| slot.listed).map(|listed| listed.created_at);
            // Lists begin with the newest.
            time < Some(*created_at) || time == Some(*created_at) && slot.is_some_and(|slot| slot.id > *id)
        };
        let mut last = None;
        for place in scope.order.some_after(&is_after) {
            let slot = self.slot(place.number).and_then(|slot| Some((slot.listed?, &slot.id)));
            match slot.filter(|(listed, _)| {
                listed.facet == place.facet && self.scopes.with_those_around(listed.project).contains(&check.scope)
            }) {
                Some((listed, id)) => last = Some((listed.created_at, id)),
                None => {
                    let id = self.id_of(place.number);
                    let name = id.map_or_else(|| format!("number {}", place.number), |id| id.to_string());
                    return Err(format!("its list holds {name}, which is not listed there as it stands there"));
                }
            }
        }
        let last = last.map(|(created_at, id)| (created_at, id.clone()));
        let is_more = last.is_some();
        check.last = last;
        Ok(is_more)
    }
}
