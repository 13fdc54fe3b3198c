//! Making and checking one frame of the log, by payload size.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use fastness::aof::record::{Frame, FrameLine, Position, Salt, encode_frame_line};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let salt = Salt(7);
    for bytes in [64u64, 4096, 1 << 20] {
        let payload: Vec<u8> = (0..=255).cycle().take(bytes as usize).collect();
        let frame = Frame {
            previous_end: None,
            position: Position(1 << 40),
            unsynced: 0,
            millis: 1_700_000_000_000,
            len: bytes,
            previous_crc: 1,
        };
        let mut line = Vec::new();
        let mut group = criterion.benchmark_group("aof_frame");
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(format!("encode_{bytes}"), |bencher| {
            bencher.iter(|| encode_frame_line(&mut line, salt, &frame, black_box(&payload)));
        });
        encode_frame_line(&mut line, salt, &frame, &payload);
        group.bench_function(format!("verify_{bytes}"), |bencher| {
            bencher.iter(|| {
                let parsed = FrameLine::parse(black_box(&line));
                assert!(parsed.is_some_and(|parsed| parsed.vouches_for(salt, &line, &payload)));
            });
        });
        group.finish();
    }
    criterion.final_summary();
}
