use super::*;

#[test]
fn dead_letters_are_not_written_to_a_topic_that_is_read() {
    assert_eq!(serve(LEAST, &[]).projection.dead_letter_topic, None);
    let with_topic = serve(&format!("{LEAST} --dead-letter-topic letters"), &[]);
    assert_eq!(with_topic.projection.dead_letter_topic.as_deref(), Some("letters"));
    for (line, variables) in [
        (format!("{LEAST} --dead-letter-topic jobs"), &[][..]),
        (format!("{LEAST} --topic-multistart-runs letters"), &[("OPTVIEW_DEAD_LETTER_TOPIC", "letters")]),
    ] {
        check_mistakes(&line, variables, &["both name one topic; a dead letter that is written"]);
    }
    check_mistakes(
        &format!("{LEAST} --dead-letter-topic a/b"),
        &[],
        &["a character that Kafka takes in no topic"],
    );
}

#[test]
fn letters_are_chosen_in_one_way() {
    let retry = "dead-letters retry --data-dir /tmp/optview";
    assert!(read(&format!("{retry} --from-topic letters --topic jobs"), &[]).is_ok());
    check_mistakes(&format!("{retry} jobs/0@1 --from-topic letters"), &[], &["choose in two ways"]);
    // One of the two would be ignored, and with it what else was meant to be chosen, or not to be.
    for options in [
        "--all",
        "--topic jobs",
        "--reason x",
        "--before 2026-03-01T09:00:00Z",
        "--all --after 2026-03-01T09:00:00Z",
    ] {
        check_mistakes(
            &format!("dead-letters discard --data-dir /tmp/optview jobs/0@1 {options}"),
            &[],
            &["choose in two ways"],
        );
    }
    check_mistakes(retry, &[], &["nothing says which dead letters are meant"]);
    check_mistakes(
        "dead-letters discard --data-dir /tmp/optview",
        &[],
        &["nothing says which dead letters are meant"],
    );
}
