//! Decoding a pipeline of SETs, per request.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use fastness::resp::decode::{Batch, DecodeLimits, Decoder};

const REQUESTS: u64 = 1000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let limits = DecodeLimits { bulk_bytes_max: 512 << 20, authenticated: true };
    for value_bytes in [16, 1024] {
        let mut input = Vec::new();
        let value = "x".repeat(value_bytes);
        for key in 0..REQUESTS {
            let request =
                format!("*3\r\n$3\r\nSET\r\n$8\r\n{key:08}\r\n${value_bytes}\r\n{value}\r\n");
            input.extend_from_slice(request.as_bytes());
        }
        let mut batch = Batch::default();
        let mut group = criterion.benchmark_group("resp_decode");
        group.throughput(Throughput::Elements(REQUESTS));
        group.bench_function(format!("set_{value_bytes}"), |bencher| {
            bencher.iter(|| {
                batch.clear();
                let outcome = Decoder::default().decode(black_box(&input), limits, &mut batch);
                assert_eq!((outcome.0, batch.len() as u64), (input.len(), REQUESTS));
            });
        });
        group.finish();
    }
    criterion.final_summary();
}
