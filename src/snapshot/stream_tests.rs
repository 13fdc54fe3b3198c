use super::*;
use crate::snapshot::record::Dialect;

const RECORD: &str = "01 10 0000000000000001 0000000000000001 1d 1d000000 0a00 0101 0001 0101 816602 \
     0001 0201 0001 0001 817602 0401 ff 01 01 01 01 01 00 00 01 00";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn read(bytes: &[u8], layout: Layout) -> Parsed<StreamImage> {
    let mut reader = Reader::new(bytes);
    let image = read_image(&mut reader, layout)?;
    reader.finish()?;
    Ok(image)
}

fn with_group() -> StreamImage {
    let mut image = read(&bytes(RECORD), Layout::Second).unwrap();
    let id = StreamId { ms: 1, seq: 1 };
    let consumer =
        |name: &[u8]| ConsumerImage { name: name.to_vec(), seen_time: 5, active_time: -1 };
    image.groups.push(GroupImage {
        name: b"group".to_vec(),
        last_id: id,
        entries_read: -1,
        pending: vec![
            PendingImage {
                id: StreamId::default(),
                delivery_time: -1,
                delivery_count: 2,
                consumer: 1,
            },
            PendingImage { id, delivery_time: 7, delivery_count: 1, consumer: 0 },
        ],
        consumers: vec![consumer(b"alice"), consumer(b"bob"), consumer(b"")],
    });
    image
}

/// An image as it is, right or wrong, in the third layout.
fn written(image: &StreamImage) -> Vec<u8> {
    let mut out = Vec::new();
    let string = |out: &mut Vec<u8>, text: &[u8]| StringWriter::new(false).put(out, text);
    put_length(&mut out, image.nodes.len() as u64);
    for (master, blob) in &image.nodes {
        string(&mut out, &master.to_key());
        string(&mut out, blob);
    }
    put_length(&mut out, image.length);
    for id in [image.last_id, image.first_id, image.max_deleted_id] {
        put_id(&mut out, id);
    }
    put_length(&mut out, image.entries_added);
    put_length(&mut out, image.groups.len() as u64);
    for group in &image.groups {
        string(&mut out, &group.name);
        put_id(&mut out, group.last_id);
        put_length(&mut out, group.entries_read.cast_unsigned());
        put_length(&mut out, group.pending.len() as u64);
        for pending in &group.pending {
            put_raw_id(&mut out, pending.id);
            out.extend(pending.delivery_time.to_le_bytes());
            put_length(&mut out, pending.delivery_count);
        }
        put_length(&mut out, group.consumers.len() as u64);
        for (index, consumer) in group.consumers.iter().enumerate() {
            string(&mut out, &consumer.name);
            out.extend(consumer.seen_time.to_le_bytes());
            out.extend(consumer.active_time.to_le_bytes());
            let owned = group.pending.iter().filter(|pending| pending.consumer == index);
            put_length(&mut out, owned.clone().count() as u64);
            owned.for_each(|pending| put_raw_id(&mut out, pending.id));
        }
    }
    out
}

/// A stream as it is written.
fn put(stream: &Stream, layout: Layout) -> Vec<u8> {
    let mut out = Vec::new();
    put_stream(&mut StringWriter::new(false), &mut out, stream, layout);
    out
}

#[test]
fn a_stream_is_written_as_its_image_is() {
    let mut image = with_group();
    // Consumers are written by name.
    let group = &mut image.groups[0];
    group.consumers.rotate_right(1);
    for pending in &mut group.pending {
        pending.consumer = (pending.consumer + 1) % 3;
    }
    let stream = Stream::from(image.clone());
    assert_eq!(put(&stream, Layout::Third), written(&image));
    assert_eq!(stream.to_image(), image);
    let second = put(&stream, Layout::Second);
    let mut reader = Reader::new(&second);
    let back = read_stream(&mut reader, Layout::Second).unwrap().to_image();
    reader.finish().unwrap();
    assert_eq!((back.nodes, &back.groups[0].pending), (image.nodes, &image.groups[0].pending));
    // That layout has one time per consumer.
    assert!(back.groups[0].consumers.iter().all(|consumer| consumer.active_time == 5));
}

#[test]
fn redis_stream_is_understood() {
    let image = read(&bytes(RECORD), Layout::Second).unwrap();
    let id = StreamId { ms: 1, seq: 1 };
    assert_eq!((image.length, image.last_id, image.first_id), (1, id, id));
    assert_eq!((image.nodes.len(), image.nodes[0].0, image.entries_added), (1, id, 1));
}

#[test]
fn images_come_back_and_every_flip_is_refused_or_valid() {
    let image = with_group();
    let out = written(&image);
    assert_eq!(read(&out, Layout::Third).unwrap(), image);
    for cut in 0..out.len() {
        assert!(read(&out[..cut], Layout::Third).is_err(), "{cut}");
    }
    for at in 0..out.len() {
        for bit in 0..8 {
            let mut damaged = out.clone();
            damaged[at] ^= 1 << bit;
            // What still passes must be a stream that comes back as it is.
            if let Ok(other) = read(&damaged, Layout::Third) {
                assert_eq!(read(&written(&other), Layout::Third).unwrap(), other);
            }
        }
    }
}

#[test]
fn a_stream_of_redis_8_6_loads_unless_it_remembers_producers() {
    let image = with_group();
    let mut record = written(&image);
    // Duration, most ids, no producers, two counters.
    record.extend([0x40, 100, 0x40, 100, 0, 3, 1]);
    assert_eq!(read(&record, Layout::Fourth).unwrap(), image);
    assert!(read(&record, Layout::Third).is_err());
    let mut walked = Reader::new(&record);
    crate::snapshot::record::skip_value(&mut walked, 26, Dialect::Redis).unwrap();
    walked.finish().unwrap();
    let mut record = written(&image);
    record.extend(bytes("40 64 40 64 01 01 70 01 02 6964 05 01 01 00"));
    let refused = read(&record, Layout::Fourth).unwrap_err();
    assert!(refused.to_string().contains("idempotent producers"), "{refused}");
}

#[test]
fn owners_must_be_one_each() {
    let refused = |change: &dyn Fn(&mut GroupImage)| {
        let mut image = with_group();
        change(&mut image.groups[0]);
        let error = read(&written(&image), Layout::Third).unwrap_err();
        assert!(error.offset > 0, "{error}");
    };
    refused(&|group| group.pending[0].consumer = 9);
    refused(&|group| group.pending[0].id = group.pending[1].id);
    refused(&|group| group.consumers[1].name = b"alice".to_vec());
    let mut image = with_group();
    image.groups.push(image.groups[0].clone());
    assert!(read(&written(&image), Layout::Third).is_err(), "two groups of one name");
}

#[test]
fn fewer_than_none_that_a_group_has_read_are_not_known() {
    let mut image = with_group();
    image.groups[0].entries_read = -7;
    let found = read(&written(&image), Layout::Third).unwrap();
    assert_eq!(found.groups[0].entries_read, -1);
}

#[test]
fn ids_lengths_and_counts_must_fit_the_entries() {
    let refused = |change: &dyn Fn(&mut StreamImage)| {
        let mut image = with_group();
        change(&mut image);
        assert!(read(&written(&image), Layout::Third).is_err());
    };
    refused(&|image| image.length = 2);
    refused(&|image| image.last_id = StreamId { ms: 1, seq: 0 });
    refused(&|image| image.nodes.push(image.nodes[0].clone()));
    refused(&|image| image.nodes.clear());
    // Flags, field counts and the size of an entry.
    for (at, value) in [(6, 2), (8, 1), (10, 2), (15, 1), (17, 4), (25, 5)] {
        refused(&|image| image.nodes[0].1[at] = value);
    }
}

#[test]
fn an_old_stream_gets_what_redis_would_derive() {
    let mut image = with_group();
    image.groups.clear();
    let whole = written(&image);
    let nodes = &whole[..whole.len() - 9];
    let mut old = nodes.to_vec();
    old.extend([1, 1, 1, 1]);
    old.extend(b"\x01g\x01\x01\x00\x01\x01c");
    old.extend(7i64.to_le_bytes());
    old.push(0);
    let image = read(&old, Layout::First).unwrap();
    let group = &image.groups[0];
    assert_eq!((group.entries_read, image.entries_added), (1, 1));
    assert_eq!((group.consumers[0].seen_time, group.consumers[0].active_time), (7, 7));
}
