//! The values of single parameters of lists, and the mistakes in them.

use crate::domain::{Status, Timestamp};
use crate::http::errors::Mistake;
use crate::http::wait_query::bool_of;
use crate::store::{Sort, SortKey, ViewForm};

/// The largest page.
pub const MAX_LIMIT: usize = 1_000;

/// The most characters of a part of a name that is searched for.
pub const MAX_NAME_PART: usize = 100;

/// Parses a status; `null` stands for no status.
pub fn status_of(text: &str) -> Result<Option<Status>, Mistake> {
    if text == "null" {
        return Ok(None);
    }
    let status = Status::ALL.into_iter().find(|status| status.as_str() == text);
    status.map(Some).ok_or_else(|| {
        let all = Status::ALL.map(|status| format!("'{}'", status.as_str()));
        mistake("status", format!("Input should be {} or 'null'", all.join(", ")), "enum")
    })
}

pub fn limit_of(text: &str) -> Result<usize, Mistake> {
    match integer("limit", text)? {
        ..1 => Err(at_least("limit", 1)),
        limit => match usize::try_from(limit) {
            Ok(limit @ ..=MAX_LIMIT) => Ok(limit),
            _ => {
                let msg = format!("Input should be less than or equal to {MAX_LIMIT}");
                Err(mistake("limit", msg, "less_than_equal"))
            }
        },
    }
}

pub fn offset_of(text: &str) -> Result<usize, Mistake> {
    usize::try_from(integer("offset", text)?).map_err(|_| at_least("offset", 0))
}

/// Parses a time. A query string writes a space as `+`, so that an offset whose sign was not encoded has a space in its place.
pub fn time_of(name: &'static str, text: &str) -> Result<Timestamp, Mistake> {
    Timestamp::parse(text).or_else(|| Timestamp::parse(&text.replace(' ', "+"))).ok_or_else(|| {
        let msg = "Input should be a valid datetime with its time zone, such as 2026-03-01T09:00:00Z".to_owned();
        mistake(name, msg, "datetime_parsing")
    })
}

/// Parses the order of a list.
pub fn sort_of(text: &str) -> Result<Sort, Mistake> {
    let sort = |key, is_reversed| Ok(Sort { key, is_reversed });
    match text {
        "-created_at" => sort(SortKey::Creation, false),
        "created_at" => sort(SortKey::Creation, true),
        "name" => sort(SortKey::Name, false),
        "-name" => sort(SortKey::Name, true),
        _ => {
            let msg = "Input should be 'created_at', '-created_at', 'name' or '-name'".to_owned();
            Err(mistake("sort", msg, "enum"))
        }
    }
}

/// Parses `summary`.
pub fn form_of(text: &str) -> Result<ViewForm, Mistake> {
    Ok(if bool_of("summary", text)? { ViewForm::Summary } else { ViewForm::Full })
}

pub fn name_part_of(text: &str) -> Result<String, Mistake> {
    if text.chars().count() > MAX_NAME_PART {
        let msg = format!("String should have at most {MAX_NAME_PART} characters");
        return Err(mistake("q", msg, "string_too_long"));
    }
    Ok(text.to_owned())
}

fn at_least(name: &'static str, least: usize) -> Mistake {
    mistake(name, format!("Input should be greater than or equal to {least}"), "greater_than_equal")
}

/// Parses a decimal integer with an optional sign and spaces around it. A number that is too large for 64 bits becomes the
/// nearest that fits.
fn integer(name: &'static str, text: &str) -> Result<i64, Mistake> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let msg = "Input should be a valid integer, unable to parse string as an integer".to_owned();
        return Err(mistake(name, msg, "int_parsing"));
    }
    let magnitude = digits.parse().unwrap_or(i64::MAX);
    Ok(if negative { -magnitude } else { magnitude })
}

pub fn mistake(name: &'static str, msg: String, kind: &'static str) -> Mistake {
    Mistake { loc: ["query", name], msg, kind }
}
