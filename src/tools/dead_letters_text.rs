//! The results of `optview dead-letters` as text for people.

use super::dead_letters::{LetterDetails, LettersDone, LettersExported, ReadingResumed};
use crate::dead_letters::{DeadLetterEntry, DeadLetterGroup, LetterList};
use crate::terminal::{printable_line, table};

/// Formats the groups of dead letters.
pub fn list(list: &LetterList) -> String {
    let LetterList { count, total, replaced, stopped, groups, missing: _ } = list;
    let head = ["TOPIC", "COUNT", "NEWEST", "WRITTEN", "REASON"].map(str::to_owned).to_vec();
    let rows = groups.iter().map(|DeadLetterGroup { topic, kind, count, newest }| {
        let time = newest.time.clone().unwrap_or_else(|| "?".to_owned());
        vec![topic.clone(), count.to_string(), newest.id.clone(), time, printable_line(kind).into_owned()]
    });
    let mut text = String::new();
    if groups.is_empty() {
        text += "There is no such dead letter.\n";
    } else {
        text += &table([head].into_iter().chain(rows).collect());
    }
    if count != total {
        text += &format!("{count} of the {total} dead letters in the store.\n");
    }
    for (topic, count) in replaced {
        text += &format!("Of {count} more of {topic}, only this number is kept: newer ones took their place.\n");
    }
    for (topic, since) in stopped {
        text += &format!(
            "{topic} has stopped since {since}: too many of its records are not understood. `optview dead-letters resume \
             --topic {topic}` has it read on.\n"
        );
    }
    text
}

/// Formats one dead letter in full.
pub fn show(details: &LetterDetails) -> String {
    let LetterDetails { entry, key_hex, headers, value } = details;
    let DeadLetterEntry { id, time, key, kind: _, reason, value_bytes, whole, .. } = entry;
    let mut text = format!("{id}\n");
    let mut line = |name: &str, value: &str| text += &format!("{name:<8}{}\n", printable_line(value));
    line("written", time.as_deref().unwrap_or("at no time that is known"));
    line("key", if key.as_deref() == Some("") { "empty" } else { key.as_deref().unwrap_or("null") });
    if let Some(hex) = key_hex {
        line("", &format!("which is not UTF-8; in hex: {hex}"));
    }
    for (name, value) in headers {
        line("header", &format!("{name}: {}", value.as_deref().unwrap_or("null")));
    }
    line("reason", reason);
    let Some(excerpt) = value else {
        text += "value   null\n";
        return text;
    };
    text += &format!("value   {value_bytes} bytes");
    text += match (whole, excerpt.is_cut) {
        (false, _) => ", of which only the beginning is kept, so that it cannot be tried again",
        (true, true) if excerpt.begin > 0 => ", of which this is the part around the error",
        (true, true) => ", of which this is the beginning",
        (true, false) => "",
    };
    text += ":\n\n";
    // Line breaks are the value's own, and everything else is shown as it is or escaped.
    for line in excerpt.text.lines() {
        text += &format!("{}\n", printable_line(line));
    }
    text
}

/// Formats the result of a retry.
pub fn retried(done: &LettersDone) -> String {
    let LettersDone { chosen, folded, refused, still_refused, gone, .. } = done;
    let mut text = format!(
        "Of {chosen} dead letters, {folded} are understood now, and are in the views; {refused} are still not understood.\n"
    );
    if *gone > 0 {
        text += &format!("{gone} were gone by then.\n");
    }
    for refused in still_refused {
        text += &format!("  {}: {}\n", printable_line(&refused.id), printable_line(&refused.reason));
    }
    if *refused > still_refused.len() as u64 {
        text += &format!("  and {} more\n", refused - still_refused.len() as u64);
    }
    text + &unusable(done) + &rest(done)
}

/// Formats the records of a dead letter topic that could not be tried.
fn unusable(done: &LettersDone) -> String {
    let LettersDone { unusable, not_tried, .. } = done;
    if *unusable == 0 {
        return String::new();
    }
    let mut text = format!("{unusable} records of the topic could not be tried:\n");
    for refused in not_tried {
        text += &format!("  {}: {}\n", printable_line(&refused.id), printable_line(&refused.reason));
    }
    if *unusable > not_tried.len() as u64 {
        text += &format!("  and {} more\n", unusable - not_tried.len() as u64);
    }
    text
}

/// Formats the result of a discard.
pub fn discarded(done: &LettersDone) -> String {
    format!("Discarded {} of {} dead letters.\n", done.discarded, done.chosen) + &rest(done)
}

/// Formats the ids that name no letter, and whether the command was ended early.
fn rest(done: &LettersDone) -> String {
    let mut text = String::new();
    for id in &done.missing {
        text += &format!("There is no dead letter {}.\n", printable_line(id));
    }
    if done.interrupted {
        text += "It was ended before all were done: give the command again for the rest.\n";
    }
    text
}

/// Formats the result of an export.
pub fn exported(exported: &LettersExported) -> String {
    format!("Wrote {} dead letters to {}\n", exported.count, exported.file)
}

/// Formats the result of a resumption.
pub fn resumed(resumed: &ReadingResumed) -> String {
    match resumed.partitions.as_slice() {
        [] => "No topic has stopped because of its dead letters.\n".to_owned(),
        partitions => format!("Read on from {}.\n", partitions.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::Excerpt;
    use crate::tools::dead_letters::RefusedLetter;

    #[test]
    fn what_producers_chose_begins_no_line_of_its_own() {
        let forged = "x\nvalue   0 bytes\u{1b}[2J\r".to_owned();
        let entry = DeadLetterEntry {
            id: "jobs/0@1".to_owned(),
            topic: "jobs".to_owned(),
            partition: 0,
            offset: 1,
            time: None,
            key: Some(forged.clone()),
            kind: forged.clone(),
            reason: forged.clone(),
            value_bytes: 3,
            whole: true,
        };
        let excerpt = Excerpt { text: "a\nb\u{1b}".to_owned(), is_dump: false, begin: 0, is_cut: false };
        let headers = vec![(forged.clone(), Some(forged.clone()))];
        let shown = show(&LetterDetails { entry: entry.clone(), key_hex: None, headers, value: Some(excerpt) });
        let begins = ["jobs/0@1", "written", "key", "header", "reason", "value   3 bytes:", "", "a", "b\\u{1b}"];
        assert_eq!(shown.lines().count(), begins.len(), "{shown}");
        assert!(shown.lines().zip(begins).all(|(line, begin)| line.starts_with(begin)), "{shown}");
        let group = DeadLetterGroup { topic: "jobs".to_owned(), kind: forged.clone(), count: 1, newest: entry };
        let text = list(&LetterList {
            count: 1,
            total: 1,
            replaced: Default::default(),
            stopped: Default::default(),
            groups: vec![group],
            missing: Vec::new(),
        });
        assert!(!text.contains("\nvalue") && !text.contains('\u{1b}'), "{text}");
        let refused = vec![RefusedLetter { id: forged.clone(), reason: forged.clone() }];
        let done = LettersDone {
            refused: 1,
            still_refused: refused.clone(),
            missing: vec![forged],
            unusable: 1,
            not_tried: refused,
            ..LettersDone::default()
        };
        assert!(!retried(&done).contains("\nvalue"), "{}", retried(&done));
    }
}
