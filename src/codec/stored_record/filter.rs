//! The list filter over stored responses: whether a record that was found still has the values that a list asks for.

use std::borrow::Cow;

use super::response_fields::FilterFields;
use super::{CorruptValue, Layout};
use crate::domain::name_key::name_key;
use crate::domain::{Status, StatusSet, Timestamp};

/// The values that a stored optimization must have to appear in a list. `None` accepts any value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The bytes of the organization's id.
    pub organization_id: Option<Vec<u8>>,
    /// The project's id as JSON, as in the response.
    pub project_id: Option<Vec<u8>>,
    /// The statuses, one of which it must have.
    pub statuses: StatusSet,
    /// The kind as JSON, as in the response.
    pub kind: Option<Vec<u8>>,
    /// A part of the name's key.
    pub name_part: Option<String>,
    /// The earliest time of creation.
    pub created_from: Option<Timestamp>,
    /// The time before which it must have been created.
    pub created_before: Option<Timestamp>,
}

impl Filter {
    /// Returns true if readers may see the optimization and its values match the filter.
    pub fn accepts(&self, stored: &[u8], layout: &Layout) -> Result<bool, CorruptValue> {
        if !layout.shown || !is(&self.organization_id, &stored[layout.organization_id.clone()]) {
            return Ok(false);
        }
        if self.accepts_all_of_organization() {
            return Ok(true);
        }
        let found = FilterFields::find_in(stored, layout)?;
        Ok(is(&self.project_id, found.project_id)
            && self.accepts_status(found.status)
            && is(&self.kind, found.kind)
            && self.accepts_name(found.name)?
            && self.accepts_time(found.created_at)?)
    }

    fn accepts_all_of_organization(&self) -> bool {
        self.project_id.is_none()
            && self.statuses.is_any()
            && self.kind.is_none()
            && self.name_part.is_none()
            && self.created_from.is_none()
            && self.created_before.is_none()
    }

    /// Checks a status as JSON, or null.
    fn accepts_status(&self, json: &[u8]) -> bool {
        let text = json.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
        let status = Status::ALL.into_iter().find(|status| Some(status.as_str().as_bytes()) == text);
        self.statuses.accepts(status)
    }

    fn accepts_name(&self, json: &[u8]) -> Result<bool, CorruptValue> {
        let Some(part) = &self.name_part else { return Ok(true) };
        let name: Option<Cow<'_, str>> =
            serde_json::from_slice(json).map_err(|error| CorruptValue::new("optimization", error))?;
        Ok(name.is_some_and(|name| name_key(&name).contains(part)))
    }

    fn accepts_time(&self, json: &[u8]) -> Result<bool, CorruptValue> {
        if self.created_from.is_none() && self.created_before.is_none() {
            return Ok(true);
        }
        let text = std::str::from_utf8(json).ok().map(|text| text.trim_matches('"'));
        let created_at = text
            .and_then(Timestamp::parse)
            .ok_or_else(|| CorruptValue::new("optimization", "its response has no time of creation"))?;
        Ok(self.created_from.is_none_or(|from| created_at >= from)
            && self.created_before.is_none_or(|before| created_at < before))
    }
}

fn is(wanted: &Option<Vec<u8>>, found: &[u8]) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted == found)
}
