//! Tests of the parameters of lists: each is read as it is meant, and every mistake is reported.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;
use crate::domain::Status;
use crate::store::SortKey;

fn read(query: &str) -> Result<ListParameters, Vec<(&'static str, &'static str)>> {
    let uri: Uri = format!("/optimizations?{query}").parse().unwrap();
    ListParameters::of(&uri).map_err(|error| match error {
        HttpError::Invalid(mistakes) => mistakes.iter().map(|mistake| (mistake.loc[1], mistake.kind)).collect(),
        other => panic!("{other:?}"),
    })
}

fn statuses(all: &[Option<Status>]) -> StatusSet {
    let mut statuses = StatusSet::ANY;
    all.iter().for_each(|status| statuses.insert(*status));
    statuses
}

#[test]
fn parameters_are_read() {
    let default = ListParameters::default;
    let text = |text: &str| Some(text.to_owned());
    for (query, expected) in [
        ("", default()),
        ("&&=&unknown=1&limits=0&unknown=2", default()),
        ("project_id=a+b%20c%2Fd%26", ListParameters { project_id: text("a b c/d&"), ..default() }),
        ("project_id=%FF%zz", ListParameters { project_id: text("\u{FFFD}%zz"), ..default() }),
        ("project_id=&kind", ListParameters { project_id: text(""), kind: text(""), ..default() }),
        ("kind=a&kind=b", ListParameters { kind: text("b"), ..default() }),
        (
            "status=failed&status=failed",
            ListParameters { statuses: statuses(&[Some(Status::Failed)]), ..default() },
        ),
        (
            "status=failed&status=null",
            ListParameters { statuses: statuses(&[Some(Status::Failed), None]), ..default() },
        ),
        ("id=b&id=a&id=b", ListParameters { ids: Some(vec!["a".to_owned(), "b".to_owned()]), ..default() }),
        ("q=Cell+7", ListParameters { name_part: text("Cell 7"), ..default() }),
        ("q=", default()),
        (
            "created_after=2026-03-01T09:00:00.000000001Z&created_before=2026-03-01T10:00:01+01:00",
            ListParameters {
                created_from: Timestamp::new(1_772_355_600, 1),
                created_before: Timestamp::new(1_772_355_601, 0),
                ..default()
            },
        ),
        ("sort=-created_at&summary=false", default()),
        (
            "sort=-name&summary=True",
            ListParameters {
                sort: Sort { key: SortKey::Name, is_reversed: true },
                form: ViewForm::Summary,
                ..default()
            },
        ),
        ("cursor=", ListParameters { start: Start::First, ..default() }),
        ("limit=1&offset=0", ListParameters { limit: 1, ..default() }),
        ("limit=1000&offset=7", ListParameters { limit: 1000, start: Start::Offset(7), ..default() }),
        ("limit=+%2B5+&offset=-0", ListParameters { limit: 5, ..default() }),
        (
            "offset=9999999999999999999999",
            ListParameters { start: Start::Offset(usize::try_from(i64::MAX).unwrap()), ..default() },
        ),
    ] {
        assert_eq!(read(query), Ok(expected), "{query}");
    }
}

#[test]
fn every_mistake_is_named_at_once() {
    for (query, expected) in [
        ("limit=0", &[("limit", "greater_than_equal")][..]),
        ("limit=-99999999999999999999", &[("limit", "greater_than_equal")]),
        ("limit=1001", &[("limit", "less_than_equal")]),
        ("limit=99999999999999999999", &[("limit", "less_than_equal")]),
        ("limit=", &[("limit", "int_parsing")]),
        ("limit=5&limit=ten", &[("limit", "int_parsing")]),
        ("limit=1.5", &[("limit", "int_parsing")]),
        ("limit=1_0", &[("limit", "int_parsing")]),
        ("limit=%2B-1", &[("limit", "int_parsing")]),
        ("limit=%D9%A1", &[("limit", "int_parsing")]),
        ("offset=-1", &[("offset", "greater_than_equal")]),
        ("status=", &[("status", "enum")]),
        ("status=Failed", &[("status", "enum")]),
        ("status=bad&status=failed", &[("status", "enum")]),
        ("created_after=2026-03-01", &[("created_after", "datetime_parsing")]),
        ("created_before=now", &[("created_before", "datetime_parsing")]),
        ("sort=created", &[("sort", "enum")]),
        ("summary=maybe", &[("summary", "bool_parsing")]),
        ("cursor=x&offset=0", &[("cursor", "value_error")]),
        ("cursor=AAAA", &[("cursor", "value_error")]),
        (
            "status=x&offset=y&limit=0",
            &[("status", "enum"), ("limit", "greater_than_equal"), ("offset", "int_parsing")],
        ),
    ] {
        assert_eq!(read(query), Err(expected.to_vec()), "{query}");
    }
}

#[test]
fn the_enum_is_spelled_out() {
    let mistake = status_of("x").unwrap_err();
    assert_eq!(mistake.msg, "Input should be 'queued', 'running', 'succeeded', 'failed', 'canceled' or 'null'");
}

#[test]
fn a_cursor_continues_a_list_in_its_own_order_only() {
    let sort = Sort { key: SortKey::Name, is_reversed: false };
    let cursor =
        Cursor { sort, created_at: Timestamp::default(), name_key: Some("é".to_owned()), id: "a/b".to_owned() };
    let text = cursor.to_text();
    assert_eq!(read(&format!("sort=name&cursor={text}")).unwrap().start, Start::After(cursor));
    for other in ["sort=-name", "sort=created_at", "limit=1"] {
        assert_eq!(read(&format!("{other}&cursor={text}")), Err(vec![("cursor", "value_error")]));
    }
}

#[test]
fn ids_and_parts_of_names_are_bounded() {
    let ids = |count: usize| (0..count).map(|id| format!("id={id}&")).collect::<String>();
    assert_eq!(read(&ids(1000)).unwrap().ids.unwrap().len(), 1000);
    assert_eq!(read(&ids(1001)), Err(vec![("id", "too_long")]));
    assert!(read(&format!("q={}", "n".repeat(100))).is_ok());
    assert_eq!(read(&format!("q={}", "n".repeat(101))), Err(vec![("q", "string_too_long")]));
}

proptest! {
    #[test]
    fn any_number_is_taken_or_refused_by_its_range(limit: i128, offset: i128) {
        match read(&format!("limit={limit}&offset={offset}")) {
            Ok(read) => {
                prop_assert_eq!(read.limit as i128, limit);
                prop_assert!((1..=1000).contains(&limit) && offset >= 0);
                let Start::Offset(offset) = read.start else { panic!("{:?}", read.start) };
                prop_assert!(offset.checked_add(read.limit).is_some());
            }
            Err(mistakes) => {
                prop_assert_eq!(mistakes.iter().any(|(name, _)| *name == "limit"), !(1..=1000).contains(&limit));
                prop_assert_eq!(mistakes.iter().any(|(name, _)| *name == "offset"), offset < 0);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(limit: String, offset in "[-+ 0-9a-z.]{0,30}", status: String) {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let _ = read(&format!("limit={}&offset={}&status={}", encoded(&limit), encoded(&offset), encoded(&status)));
    }

    #[test]
    fn any_text_survives_its_encoding(project: String, kind: String) {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let read = read(&format!("project_id={}&kind={}", encoded(&project), encoded(&kind))).unwrap();
        prop_assert_eq!((read.project_id, read.kind), (Some(project), Some(kind)));
    }
}
