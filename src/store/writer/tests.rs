use super::*;

#[test]
fn whoever_waits_for_a_commit_is_told_that_the_thread_has_panicked() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = crate::store::open(directory.path(), 1 << 20).unwrap().writer;
    writer.check().unwrap();
    let died = std::thread::spawn(|| std::panic::resume_unwind(Box::new("the store's thread")));
    while !died.is_finished() {
        std::thread::yield_now();
    }
    let alive = writer.thread.replace(died);
    assert!(matches!(writer.check(), Err(StoreError::WriterEnded(_))));
    writer.thread = alive;
    writer.finish().unwrap();
}
