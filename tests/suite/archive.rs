//! An archive returns every byte that was put in, detects every byte that changed, and continues after a kill at
//! any point.

mod chance;
mod ends;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use optview::domain::{OwnedRecord, PartitionOffset, Record, Topic, TopicPartition};
use optview::source::archive::{
    Appender, Archive, ArchiveError, ArchiveIdentity, ArchiveReader, ArchivedTopic, Manifest, VerificationReport,
    verify,
};
use optview::source::{Records, TopicNames};
use proptest::prelude::*;

use chance::{WriterAction, records, then};

const PARTITIONS: i32 = 2;

pub fn identity() -> ArchiveIdentity {
    ArchiveIdentity {
        cluster_id: "a-cluster".to_owned(),
        topics: Topic::ALL
            .map(|stream| ArchivedTopic {
                stream,
                topic: names().get(stream).to_owned(),
                partitions: PARTITIONS,
                id: None,
            })
            .to_vec(),
    }
}

fn names() -> TopicNames {
    TopicNames::new("optimizations".to_owned(), "prod.jobs".to_owned(), "runs \"2\"".to_owned())
}

/// Opens an archive whose appender may just have been dropped: its thread ends a moment later.
pub fn open(directory: &Path) -> Archive {
    let begin = Instant::now();
    loop {
        match Archive::open(directory, identity()) {
            Err(ArchiveError::Locked { .. }) if begin.elapsed() < Duration::from_secs(20) => {
                std::thread::yield_now()
            }
            opened => return opened.unwrap(),
        }
    }
}

pub fn appender(directory: &Path) -> Appender {
    Appender::new(open(directory), names())
}

struct Batch(Vec<OwnedRecord>);

impl Records for Batch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn record(&self, at: usize) -> Record<'_> {
        self.0[at].record()
    }
}

pub fn write(appender: &mut Appender, records: &[OwnedRecord]) {
    for run in records.chunk_by(|one, next| partition(one) == partition(next)) {
        appender.begin(partition(&run[0]), 0);
        appender.write(&Batch(run.to_vec())).unwrap();
        if appender.is_full() {
            appender.commit().unwrap();
        }
    }
}

fn partition(record: &OwnedRecord) -> TopicPartition {
    record.position.topic_partition()
}

fn read(directory: &Path) -> Vec<OwnedRecord> {
    ArchiveReader::new(directory, &Manifest::read(directory).unwrap()).map(Result::unwrap).collect()
}

fn check(directory: &Path) -> VerificationReport {
    verify(directory, &Manifest::read(directory).unwrap(), |_| {})
}

/// Leaves what a kill may leave: a tail of the last file, a file that is not listed, and an incomplete manifest.
fn leave_unfinished(directory: &Path, len: u8) {
    let tail = vec![len; len.into()];
    if let Some(last) = Manifest::read(directory).unwrap().files.last() {
        File::options().append(true).open(directory.join(&last.name)).unwrap().write_all(&tail).unwrap();
    }
    fs::write(directory.join("000999.ndjson.zst"), &tail).unwrap();
    fs::write(directory.join("MANIFEST.json.new"), &tail).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_comes_back(records in records(1..60)) {
        let directory = tempfile::tempdir().unwrap();
        let mut appender = appender(directory.path());
        write(&mut appender, &records);
        let manifest = appender.finish().unwrap();
        prop_assert_eq!(&Manifest::read(directory.path()).unwrap(), &manifest);
        prop_assert_eq!(manifest.records(), records.len() as u64);
        prop_assert_eq!(&read(directory.path()), &records);
        let verified = check(directory.path());
        prop_assert_eq!(&verified.problems, &Vec::<String>::new());
        prop_assert_eq!(verified.records, records.len() as u64);
    }

    #[test]
    fn an_export_that_is_killed_at_any_point_goes_on_from_what_is_listed(
        records in records(1..60),
        then in proptest::collection::vec(then(), 60),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut open = appender(directory.path());
        let mut happens = then.iter().copied();
        let mut at = 0;
        while at < records.len() {
            write(&mut open, &records[at..=at]);
            at += 1;
            match happens.next().unwrap_or(WriterAction::Nothing) {
                WriterAction::Nothing => {}
                WriterAction::Commit => open.commit().unwrap(),
                WriterAction::Finish => {
                    open.finish().unwrap();
                    open = appender(directory.path());
                }
                WriterAction::Kill(len) => {
                    drop(open);
                    drop(self::open(directory.path()));
                    leave_unfinished(directory.path(), len);
                    let listed = read(directory.path());
                    prop_assert_eq!(&listed[..], &records[..listed.len()]);
                    (open, at) = (appender(directory.path()), listed.len());
                }
            }
        }
        open.finish().unwrap();
        prop_assert_eq!(&read(directory.path()), &records);
        prop_assert_eq!(check(directory.path()).problems, Vec::<String>::new());
    }

    #[test]
    fn a_byte_that_changed_is_found_wherever_it_is(
        records in records(1..20),
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let directory = three_files(&records);
        let manifest = Manifest::read(directory.path()).unwrap();
        let name = &manifest.files[file.index(manifest.files.len())].name;
        let path = directory.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        fs::write(&path, bytes).unwrap();
        let problems = check(directory.path()).problems;
        prop_assert!(problems.iter().any(|problem| problem.starts_with(name.as_str())), "{:?}", problems);
        let read: Vec<_> = ArchiveReader::new(directory.path(), &manifest).collect();
        let sound: Vec<_> = read.iter().flatten().cloned().collect();
        prop_assert!(read.last().is_some_and(|last| last.is_err()));
        prop_assert_eq!(&sound[..], &records[..sound.len()], "nothing of what was damaged is given");
    }

    #[test]
    fn a_file_that_was_cut_is_found_and_nothing_is_appended_to_it(
        records in records(1..20),
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
    ) {
        let directory = three_files(&records);
        let manifest = Manifest::read(directory.path()).unwrap();
        let entry = &manifest.files[file.index(manifest.files.len())];
        let cut = File::options().write(true).open(directory.path().join(&entry.name)).unwrap();
        cut.set_len(at.index(entry.bytes as usize) as u64).unwrap();
        let problems = check(directory.path()).problems;
        prop_assert!(problems.iter().any(|problem| problem.contains("it was cut")), "{:?}", problems);
        prop_assert!(ArchiveReader::new(directory.path(), &manifest).any(|read| read.is_err()));
        let Err(error) = Archive::open(directory.path(), identity()) else { panic!("it was opened") };
        prop_assert!(error.to_string().contains(&entry.name), "{}", error);
    }
}

/// Writes the records into three files.
fn three_files(records: &[OwnedRecord]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for part in records.chunks(records.len().div_ceil(3)) {
        let mut appender = appender(directory.path());
        write(&mut appender, part);
        appender.finish().unwrap();
    }
    directory
}

fn some(count: i64) -> Vec<OwnedRecord> {
    (0..count)
        .map(|offset| OwnedRecord {
            position: PartitionOffset { topic: Topic::Jobs, partition: 0, offset },
            timestamp_millis: Some(offset),
            key: None,
            value: Some(format!("value {offset}").into_bytes()),
            headers: Vec::new(),
        })
        .collect()
}

#[test]
fn lines_are_read_by_what_reads_lines() {
    let directory = tempfile::tempdir().unwrap();
    let mut record = some(1).remove(0);
    record.key = Some(vec![0xff]);
    record.headers = vec![("content-type".to_owned(), Some(b"text/plain".to_vec())), ("none".to_owned(), None)];
    let mut appender = appender(directory.path());
    write(&mut appender, &[record]);
    let manifest = appender.finish().unwrap();
    let file = File::open(directory.path().join(&manifest.files[0].name)).unwrap();
    let text = String::from_utf8(zstd::decode_all(file).unwrap()).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"stream":"jobs","topic":"prod.jobs","partition":0,"offset":0,"timestamp_millis":0,"key_base64":"/w==","#,
            r#""value":"value 0","headers":[{"name":"content-type","value":"text/plain"},{"name":"none","value":null}]}"#,
            "\n"
        )
    );
}

#[test]
fn a_commit_adds_to_the_file_and_a_restart_begins_another() {
    let directory = tempfile::tempdir().unwrap();
    let records = some(30);
    let mut first = appender(directory.path());
    for part in records[..20].chunks(10) {
        write(&mut first, part);
        first.commit().unwrap();
    }
    let manifest = first.finish().unwrap();
    assert_eq!(manifest.files.iter().map(|file| file.records).collect::<Vec<_>>(), [20]);
    let mut second = appender(directory.path());
    // The records come from the beginning, as from a source that was assigned too early an offset.
    write(&mut second, &records);
    let manifest = second.finish().unwrap();
    let spans: Vec<_> = manifest.files.iter().map(|file| (file.spans[0].first, file.spans[0].next)).collect();
    assert_eq!(spans, [(0, 20), (20, 30)]);
    assert_eq!(read(directory.path()), records);
}

#[test]
fn a_large_archive_is_in_several_files_of_which_all_but_the_last_are_full() {
    let directory = tempfile::tempdir().unwrap();
    let value = vec![b'x'; 1 << 20];
    let records = some(150).into_iter().map(|record| OwnedRecord { value: Some(value.clone()), ..record });
    let records: Vec<_> = records.collect();
    let mut appender = appender(directory.path());
    records.chunks(5).for_each(|part| write(&mut appender, part));
    let manifest = appender.finish().unwrap();
    assert_eq!(manifest.files.iter().map(|file| file.records).collect::<Vec<_>>(), [65, 65, 20]);
    assert_eq!(check(directory.path()).problems, [""; 0]);
    assert_eq!(read(directory.path()), records);
}

#[test]
fn offsets_that_are_no_records_are_not_missed() {
    let directory = tempfile::tempdir().unwrap();
    let mut appender = appender(directory.path());
    write(&mut appender, &some(3));
    appender.ended(TopicPartition::new(Topic::Jobs, 0), 7);
    appender.ended(TopicPartition::new(Topic::Jobs, 0), 5);
    appender.finish().unwrap();
    let mut again = self::appender(directory.path());
    assert_eq!(again.begin(TopicPartition::new(Topic::Jobs, 0), 0), 7);
    let mut later = some(9);
    later.drain(..8);
    write(&mut again, &later);
    again.finish().unwrap();
    assert_eq!(check(directory.path()).problems, [""; 0]);
}

#[test]
fn partitions_that_a_topic_is_given_meanwhile_are_known() {
    let directory = tempfile::tempdir().unwrap();
    let mut appender = appender(directory.path());
    let mut records = some(3);
    records.iter_mut().for_each(|record| record.position.partition = PARTITIONS + 2);
    write(&mut appender, &records);
    let manifest = appender.finish().unwrap();
    assert_eq!(manifest.topic(Topic::Jobs).unwrap().partitions, PARTITIONS + 3);
    assert_eq!(check(directory.path()).problems, [""; 0]);
    assert!(manifest.partitions().any(|partition| partition == TopicPartition::new(Topic::Jobs, PARTITIONS + 2)));
}

#[test]
fn files_that_are_missing_or_twice_or_longer_are_found() {
    let directory = three_files(&some(9));
    let whole = Manifest::read(directory.path()).unwrap();
    let problems = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = whole.clone();
        change(&mut manifest);
        verify(directory.path(), &manifest, |_| {}).problems
    };
    assert_eq!(problems(&|_| {}), [""; 0]);
    let expect = |found: Vec<String>, wanted: &[&str]| {
        assert_eq!(found.len(), wanted.len(), "{found:#?}");
        for wanted in wanted {
            assert!(found.iter().any(|problem| problem.contains(wanted)), "{wanted}: {found:#?}");
        }
    };
    let missing = problems(&|manifest| drop(manifest.files.remove(1)));
    expect(missing, &["000003.ndjson.zst: jobs/0: records are missing between offsets 3 and 6"]);
    let twice = problems(&|manifest| manifest.files.insert(1, manifest.files[0].clone()));
    expect(twice, &["files overlap between offsets 0 and 3"]);
    let renamed = problems(&|manifest| manifest.topics[1].topic = "others".to_owned());
    assert_eq!(renamed.len(), 12, "each of nine lines, and each file's count");
    expect(renamed[..1].to_vec(), &["000001.ndjson.zst, line 1: it is of the topic `prod.jobs`"]);
    let fewer = problems(&|manifest| manifest.files[0].spans[0].next = 2);
    expect(fewer, &["line 3: jobs/0@2 is not between", "2 sound records", "missing between offsets 2 and 3"]);
    let count = problems(&|manifest| manifest.files[2].records = 4);
    expect(count, &["000003.ndjson.zst: 4 records are listed, and 3 by partition"]);
    let append = |name: &str| {
        let mut file = File::options().append(true).open(directory.path().join(name)).unwrap();
        file.write_all(b"tail").unwrap();
    };
    append("000003.ndjson.zst");
    assert_eq!(problems(&|_| {}), [""; 0], "an export may be under way");
    append("000001.ndjson.zst");
    expect(problems(&|_| {}), &["000001.ndjson.zst: it has grown"]);
    fs::remove_file(directory.path().join("000001.ndjson.zst")).unwrap();
    expect(problems(&|_| {}), &["000001.ndjson.zst: cannot be read"]);
}

#[test]
fn what_is_not_this_archive_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |identity: ArchiveIdentity| Archive::open(directory.path(), identity).err().unwrap().to_string();
    fs::write(directory.path().join("holiday.jpg"), "beach").unwrap();
    assert!(refused(identity()).contains("is not an archive"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    fs::remove_file(directory.path().join("holiday.jpg")).unwrap();

    let mut first = appender(directory.path());
    write(&mut first, &some(1));
    assert!(refused(identity()).contains("by another export"));
    first.finish().unwrap();
    let before = fs::read(directory.path().join("MANIFEST.json")).unwrap();
    let other = ArchiveIdentity { cluster_id: "another".to_owned(), ..identity() };
    assert!(refused(other).contains("of the cluster a-cluster, and this one is another"));
    let mut other = identity();
    other.topics[1].topic = "staging.jobs".to_owned();
    assert!(refused(other).contains("of the topic `prod.jobs`, and not of `staging.jobs`"));
    let mut other = identity();
    other.topics[1].partitions = 1;
    assert!(refused(other).contains("had 2 partitions"));
    assert_eq!(fs::read(directory.path().join("MANIFEST.json")).unwrap(), before);
    let newer = String::from_utf8(before).unwrap().replace("\"version\": 1", "\"version\": 2");
    fs::write(directory.path().join("MANIFEST.json"), newer.replace("files", "volumes")).unwrap();
    assert!(refused(identity()).contains("is of version 2"));
}
