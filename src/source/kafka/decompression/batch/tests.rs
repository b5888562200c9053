use std::io::Read as _;

use super::*;

/// Returns a record in Kafka's encoding, with a header of its own.
fn record(offset: i64, key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![0];
    push_varint(&mut body, 7 * offset).unwrap();
    push_varint(&mut body, offset).unwrap();
    push_bytes(&mut body, key).unwrap();
    match value {
        Some(value) => push_bytes(&mut body, value).unwrap(),
        None => push_varint(&mut body, -1).unwrap(),
    }
    push_varint(&mut body, 1).unwrap();
    push_bytes(&mut body, b"name").unwrap();
    push_bytes(&mut body, b"of the header").unwrap();
    let mut record = Vec::new();
    push_varint(&mut record, body.len() as i64).unwrap();
    record.extend(body);
    record
}

/// Offset, key, value and first header of a record.
type ParsedRecord = (i64, Vec<u8>, Option<Vec<u8>>, (Vec<u8>, Vec<u8>));

fn parsed(mut records: &[u8]) -> Vec<ParsedRecord> {
    fn bytes(source: &mut &[u8]) -> Option<Vec<u8>> {
        let len = usize::try_from(varint(source).unwrap()).ok()?;
        let (taken, rest) = source.split_at(len);
        *source = rest;
        Some(taken.to_vec())
    }
    let mut parsed = Vec::new();
    while let Some(len) = first_varint(&mut records).unwrap() {
        let (mut body, rest) = records.split_at(usize::try_from(len).unwrap());
        records = rest;
        body.read_exact(&mut [0]).unwrap();
        let (time, offset) = (varint(&mut body).unwrap(), varint(&mut body).unwrap());
        assert_eq!(time, 7 * offset);
        let (key, value) = (bytes(&mut body).unwrap(), bytes(&mut body));
        assert_eq!(varint(&mut body).unwrap(), 1);
        let header = (bytes(&mut body).unwrap(), bytes(&mut body).unwrap());
        assert!(body.is_empty());
        parsed.push((offset, key, value, header));
    }
    parsed
}

fn bounded(records: &[u8], limit: usize) -> io::Result<Vec<u8>> {
    read_within(limit, || Ok(records)).map(|chunks| chunks.into_iter().flatten().collect())
}

fn cut_len((_, _, _, (name, len)): &ParsedRecord) -> Option<u64> {
    cut_from(&[(std::str::from_utf8(name).unwrap(), Some(len))])
}

#[test]
fn a_batch_within_the_limit_is_given_as_it_is() {
    for len in [0, 1, 100, 16 << 10, (16 << 10) + 1, 3 << 20] {
        let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 256).unwrap()).collect();
        assert_eq!(bounded(&bytes, len).unwrap(), bytes);
    }
}

#[test]
fn a_record_that_is_too_large_keeps_its_position_and_its_head_and_the_others_are_whole() {
    let large = vec![b'x'; RECORD_LIMIT + 1];
    let records =
        [record(0, b"first", Some(b"a")), record(1, &large, Some(&large)), record(3, b"last", None)].concat();
    let found = parsed(&bounded(&records, 1 << 20).unwrap());
    assert_eq!(found[0], parsed(&record(0, b"first", Some(b"a")))[0]);
    assert_eq!(found[2], parsed(&record(3, b"last", None))[0]);
    let (offset, key, value, _) = &found[1];
    assert_eq!((*offset, &key[..], value.as_deref()), (1, &large[..KEY_HEAD], Some(&large[..VALUE_HEAD])));
    assert_eq!(found.iter().map(cut_len).collect::<Vec<_>>(), [None, Some(large.len() as u64), None]);
}

#[test]
fn what_many_records_become_stays_within_the_limit_and_none_is_left_out() {
    let value = vec![b'x'; 10_000];
    let records: Vec<u8> = (0..1_000).flat_map(|offset| record(offset, b"key", Some(&value))).collect();
    let limit = 4 << 20;
    let given = bounded(&records, limit).unwrap();
    assert!(given.len() <= limit, "{}", given.len());
    let found = parsed(&given);
    assert_eq!(found.iter().map(|found| found.0).collect::<Vec<_>>(), (0..1_000).collect::<Vec<_>>());
    let whole = found.iter().take_while(|found| cut_len(found).is_none()).count();
    assert!(whole > 300, "{whole}");
    assert!(found[whole..].iter().all(|found| cut_len(found) == Some(10_000)));
}

#[test]
fn what_even_short_is_too_much_is_an_error() {
    let records: Vec<u8> = (0..10_000).flat_map(|offset| record(offset, b"", None)).collect();
    assert!(bounded(&records, 200_000).unwrap_err().to_string().contains("take more than twice 200000 bytes"));
    let garbage = vec![0xff; 1_000];
    assert!(bounded(&garbage, 100).unwrap_err().to_string().contains("no record of format 2"));
    let torn = record(0, b"key", Some(&[b'x'; 1_000]));
    assert!(bounded(&torn[..500], 400).unwrap_err().to_string().contains("ends before its length says"));
}

#[test]
fn no_producer_can_say_that_its_record_was_cut() {
    ANY_IS_CUT.store(true, Ordering::Relaxed);
    let len = 5_u64.to_be_bytes();
    assert_eq!(cut_from(&[(&MARK, Some(&len))]), Some(5));
    for headers in [vec![], vec![("optview-cut", Some(&len[..]))], vec![("other", None), (&MARK, Some(&len))]] {
        assert_eq!(cut_from(&headers), None);
    }
}
