//! The document is held against what the API does.

use super::*;

#[test]
fn every_reference_is_to_a_schema_that_is_there() {
    let text = std::str::from_utf8(&DOCUMENT).unwrap();
    let document: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for reference in text.split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}
