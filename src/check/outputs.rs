//! The findings about the topics that `serve` writes to, those of dead letters and of views, and about the transactional id under which
//! views are published: pure, from the cluster's answers.

use super::finding::{Check, Finding, listed};
use crate::source::kafka::inspection::{
    CreationAnswer, OutputTopicAnswer, PartitionAnswer, RequestError, RequestErrorKind, TopicAnswer, TopicRights,
    TransactionalIdAnswer,
};

/// Bytes that a letter has beside the record that it is.
const LETTER_OVERHEAD: u64 = 512;

/// Returns the findings about the topic of dead letters. `batch_bytes` is the largest batch of records that a topic takes which is
/// read, as far as that is known.
pub fn of_letter_topic(held: &OutputTopicAnswer, batch_bytes: Option<u64>) -> Vec<Finding> {
    let partitions = match &held.topic {
        TopicAnswer::There { partitions, .. } => partitions,
        TopicAnswer::Missing => {
            return vec![Finding::wrong(
                Check::Topic,
                "there is no such topic, or this user may not know of it: no checkpoint passes a dead letter then",
                "Correct --dead-letter-topic; or create it; or grant WRITE and DESCRIBE on it",
            )];
        }
        TopicAnswer::Failed(error) => return vec![refused(error, "WRITE and DESCRIBE")],
    };
    let mut findings = vec![of_letters(partitions, held)];
    findings.push(of_writing(held, |rights| match rights.may_write {
        true => Ok("this user may write to it"),
        false => Err((
            "this user may not write to it: no checkpoint passes a dead letter then",
            "Grant WRITE on it to this user",
        )),
    }));
    findings.extend(of_letter_size(held, batch_bytes));
    findings
}

fn of_letters(partitions: &[PartitionAnswer], held: &OutputTopicAnswer) -> Finding {
    if let Some(finding) = without_leader(partitions, "no checkpoint passes a dead letter that is for one of them")
    {
        return finding;
    }
    let count = partitions.len();
    match &held.details {
        Ok(Some(details)) if details.settings.compacts => Finding::wrong(
            Check::Topic,
            format!(
                "it is compacted (cleanup.policy={}): it refuses letters without a key, and no checkpoint passes those; of the others \
                 only the last of each key stays",
                details.settings.cleanup_policy
            ),
            "Set cleanup.policy=delete on it, or name another topic by --dead-letter-topic",
        ),
        Ok(Some(_)) => Finding::right(
            Check::Topic,
            format!("it has {count} partitions for dead letters, each with a leader, and is not compacted"),
        ),
        Ok(None) | Err(_) => Finding::doubtful(
            Check::Topic,
            format!(
                "it has {count} partitions for dead letters; whether it is compacted is not known{}",
                unknown(held)
            ),
            "Grant DESCRIBE_CONFIGS on it to this user, or see to it that it has cleanup.policy=delete",
        ),
    }
}

/// Judges whether a letter of each record that can be read fits.
fn of_letter_size(held: &OutputTopicAnswer, batch_bytes: Option<u64>) -> Option<Finding> {
    let most = held.details.as_ref().ok()?.as_ref()?.max_message_bytes?;
    let wanted = batch_bytes?.saturating_add(LETTER_OVERHEAD);
    let size = bytesize::ByteSize(most);
    Some(match most < wanted {
        true => Finding::doubtful(
            Check::MessageSize,
            format!(
                "it takes batches of {size}, in which a letter of the largest record that is read does not fit: only its beginning is written then"
            ),
            format!("Raise max.message.bytes on it to {wanted}"),
        ),
        false => {
            Finding::right(Check::MessageSize, format!("it takes batches of {size}, in which every letter fits"))
        }
    })
}

/// Returns the findings about the topic of views, which `serve` makes with so many partitions if it is missing. `creation` is the
/// answer to whether it could be made, where it was asked for.
pub fn of_views_topic(
    held: &OutputTopicAnswer,
    creation: Option<&CreationAnswer>,
    partitions_made: i32,
) -> Vec<Finding> {
    let partitions = match &held.topic {
        TopicAnswer::There { partitions, .. } => partitions,
        TopicAnswer::Missing => return vec![of_creation(creation, partitions_made)],
        TopicAnswer::Failed(error) => return vec![refused(error, "WRITE, READ and DESCRIBE")],
    };
    let writing = of_writing(held, |rights| match (rights.may_write, rights.may_read) {
        (true, true) => Ok("this user may write to it, and read it"),
        (false, _) => Err((
            "this user may not write to it, so that no view is published",
            "Grant WRITE and READ on it to this user",
        )),
        (true, false) => Err((
            "this user may not read it, so that it cannot be compared with the store, and no view is published",
            "Grant READ on it to this user",
        )),
    });
    vec![of_views(partitions, held), writing]
}

fn of_creation(creation: Option<&CreationAnswer>, partitions_made: i32) -> Finding {
    let missing = "there is no such topic, or this user may not know of it";
    let made = format!("`serve` makes it for views, compacted, with {partitions_made} partitions");
    let remedy = "If --publish-views names it rightly, grant CREATE, WRITE, READ and DESCRIBE on it; or create it with \
                  cleanup.policy=compact";
    match creation {
        Some(CreationAnswer::Possible) => Finding::doubtful(
            Check::Topic,
            format!("{missing}: {made}, which this user may. Whether it may write there shows only then"),
            remedy,
        ),
        Some(CreationAnswer::Refused(error)) => Finding::wrong(
            Check::Topic,
            format!("{missing}: {made}, which the cluster refuses: {}", error.text),
            remedy,
        ),
        Some(CreationAnswer::Unknown(why)) => Finding::doubtful(
            Check::Topic,
            format!("{missing}: {made}, if it may, which is not known: {why}"),
            remedy,
        ),
        None => Finding::doubtful(Check::Topic, format!("{missing}: {made}, if it may"), remedy),
    }
}

fn of_views(partitions: &[PartitionAnswer], held: &OutputTopicAnswer) -> Finding {
    if let Some(finding) = without_leader(partitions, "no view is published, and no checkpoint passes what is not")
    {
        return finding;
    }
    let count = partitions.len();
    match &held.details {
        Ok(Some(details)) if details.settings.keeps_last_of_each_key() => Finding::right(
            Check::Topic,
            format!("it has {count} partitions for views, each with a leader, and is compacted"),
        ),
        Ok(Some(details)) => Finding::wrong(
            Check::Topic,
            format!(
                "it has cleanup.policy={}, so that views would vanish from it, or their old states stay for ever: `serve` \
                 publishes none on it",
                details.settings.cleanup_policy
            ),
            "Set cleanup.policy=compact on it, or name another topic by --publish-views",
        ),
        Ok(None) | Err(_) => Finding::doubtful(
            Check::Topic,
            format!("it has {count} partitions for views; whether it is compacted is not known{}", unknown(held)),
            "Grant DESCRIBE_CONFIGS on it to this user, or see to it that it has cleanup.policy=compact",
        ),
    }
}

/// Returns the finding about the transactional id under which views are published.
pub fn of_transactional_id(answer: &TransactionalIdAnswer) -> Finding {
    let remedy = "Grant DESCRIBE and WRITE on this transactional id to this user";
    match answer {
        TransactionalIdAnswer::Allowed => {
            Finding::right(Check::TransactionalId, "this user may publish views under it")
        }
        TransactionalIdAnswer::Failed(error) if error.kind == RequestErrorKind::Authorization => Finding::wrong(
            Check::TransactionalId,
            format!("this user may not publish views under it: {}", error.text),
            remedy,
        ),
        TransactionalIdAnswer::Failed(error) => Finding::doubtful(
            Check::TransactionalId,
            format!("whether this user may publish views under it is not known: {}", error.text),
            format!("Ask again once the brokers answer. {remedy}"),
        ),
        TransactionalIdAnswer::NotAsked => Finding::doubtful(
            Check::TransactionalId,
            "whether this user may publish views under it was not asked, as the brokers take transactions of any length \
             (transaction.max.timeout.ms), and the question would fence the instance that publishes",
            remedy,
        ),
    }
}

fn refused(error: &RequestError, rights: &str) -> Finding {
    let text = format!("it may not be looked at: {}", error.text);
    Finding::wrong(
        Check::Topic,
        text,
        format!("Grant {rights} on it to this user, or ask again once the brokers answer"),
    )
}

/// Returns the finding about partitions without a leader, if there are any.
fn without_leader(partitions: &[PartitionAnswer], effect: &str) -> Option<Finding> {
    let leaderless = partitions.iter().filter(|held| !held.has_leader).map(|held| held.partition);
    let leaderless: Vec<i32> = leaderless.collect();
    (!leaderless.is_empty()).then(|| {
        let text = format!("no broker leads these of its partitions, so that {effect}: {}", listed(leaderless));
        Finding::wrong(Check::Topic, text, "Bring the brokers back that have them")
    })
}

/// Returns the reason for which the settings are not known, as the end of a sentence.
fn unknown(held: &OutputTopicAnswer) -> String {
    match &held.details {
        Err(why) => format!(": {why}"),
        Ok(_) => ", as this user may not see its settings".to_owned(),
    }
}

/// Judges the rights on a topic by `judge`, which returns what is right, or what is wrong with the remedy.
fn of_writing(
    held: &OutputTopicAnswer,
    judge: impl Fn(TopicRights) -> Result<&'static str, (&'static str, &'static str)>,
) -> Finding {
    match &held.rights {
        Ok(Some(rights)) => match judge(*rights) {
            Ok(text) => Finding::right(Check::Write, text),
            Err((text, remedy)) => Finding::wrong(Check::Write, text, remedy),
        },
        Ok(None) => Finding::doubtful(
            Check::Write,
            "whether this user may write to it is not known, as the brokers do not tell rights: it shows only when `serve` writes",
            "Use brokers of Kafka 2.3 or later, or see to it that this user has WRITE on it",
        ),
        Err(error) => Finding::doubtful(
            Check::Write,
            format!("whether this user may write to it is not known: {}", error.text),
            "Ask again once the brokers answer, or see to it that this user has WRITE on it",
        ),
    }
}

#[cfg(test)]
mod tests;
