use std::collections::VecDeque;

use super::*;

fn replica(replicas: &mut Replicas, id: u64) -> Arc<Link> {
    let mut client = Client::new("[::1]:77".to_owned(), String::new(), 0);
    client.id = ClientId(id);
    replicas.add(&client, true, 0)
}

fn taken(link: &Link) -> (String, Vec<(usize, u64)>) {
    let (mut bytes, mut marks) = (Vec::new(), VecDeque::new());
    link.take(&mut bytes, &mut marks);
    link.sent(bytes.len());
    let marks = marks.into_iter().map(|mark| (mark.bytes, mark.position)).collect();
    (String::from_utf8(bytes).unwrap().replace("\r\n", " "), marks)
}

fn unit(db: u32, words: &[&str]) -> UnitBuffer {
    let mut unit = UnitBuffer::new();
    unit.push(db, words);
    unit
}

#[test]
fn who_waited_gets_what_comes_behind_the_snapshot_and_nobody_else() {
    let mut replicas = Replicas::default();
    let first = replica(&mut replicas, 1);
    assert!(!replicas.is_fed() && replicas.offset(500) == 500);
    replicas.snapshot_begins(SyncKind::default(), 500);
    assert!(matches!(first.stage(), Stage::Writing { offset: 500 }) && replicas.is_fed());
    let second = replica(&mut replicas, 2);
    replicas.feed(&unit(0, &["DEL", "a"]), 7);
    replicas.feed(&unit(0, &["DEL", "b"]), 8);
    replicas.news = false;
    replicas.feed(&unit(3, &["DEL", "c"]), 9);
    let (text, marks) = taken(&first);
    assert!(text.starts_with("*2 $6 SELECT $1 0 *2 $3 DEL $1 a *2 $3 DEL $1 b *2 $6 SELECT $1 3"));
    assert_eq!(marks, [(63, 8), (43, 9)]);
    assert_eq!((first.held(), replicas.offset(0)), (0, 606));
    // Whoever comes in now is told the database again.
    replicas.snapshot_begins(SyncKind::default(), 0);
    assert!(matches!(second.stage(), Stage::Writing { offset: 606 }));
    replicas.feed(&unit(3, &["DEL", "d"]), 10);
    assert!(taken(&second).0.starts_with("*2 $6 SELECT $1 3"));
    replicas.remove(ClientId(1));
    replicas.remove(ClientId(2));
    assert!(!replicas.is_fed() && first.has_ended() && second.has_ended());
}

#[test]
fn who_takes_nothing_is_let_go() {
    let mut replicas = Replicas::default();
    let link = replica(&mut replicas, 1);
    replicas.snapshot_begins(SyncKind::default(), 0);
    replicas.feed(&unit(0, &["SET", "a", &"x".repeat(1000)]), 0);
    let limit = QueueLimit { hard_bytes: 2000, soft_bytes: 1000, soft: Duration::from_secs(5) };
    let at = Duration::from_secs;
    assert!(replicas.overrun(limit, at(1)).is_empty());
    assert!(replicas.overrun(limit, at(6)).is_empty());
    assert_eq!(replicas.overrun(limit, at(7)), [(ClientId(1), link.held())]);
    taken(&link);
    assert!(replicas.overrun(limit, at(8)).is_empty());
    replicas.feed(&unit(0, &["SET", "a", &"x".repeat(2000)]), 0);
    assert_eq!(replicas.overrun(limit, at(9)).len(), 1);
}

#[test]
fn acknowledgements_are_counted() {
    let mut replicas = Replicas::default();
    let link = replica(&mut replicas, 1);
    replicas.snapshot_begins(SyncKind::default(), 10);
    assert_eq!(replicas.that_have(0, false), 0, "it is not online");
    link.snapshot_sent();
    replicas.note_signs(0);
    assert!(replicas.note_ack(ClientId(1), 20, Some(15), 0));
    assert!(!replicas.note_ack(ClientId(2), 20, None, 0));
    assert_eq!((replicas.that_have(20, false), replicas.that_have(21, false)), (1, 0));
    assert_eq!((replicas.that_have(15, true), replicas.that_have(16, true)), (1, 0));
    assert_eq!((replicas.good(10, 10_999), replicas.good(10, 11_000)), (1, 0));
    replicas.ask_for_acks();
    let end = replicas.offset(0);
    replicas.ask_for_acks();
    assert_eq!(replicas.offset(0), end);
}
