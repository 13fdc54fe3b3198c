//! Checking and decoding a snapshot of small strings; the values are dropped, no keyspace is filled.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use fastness::snapshot::crc64::Crc64;
use fastness::snapshot::encode::{Encoder, Header, finish};
use fastness::snapshot::{Attributes, LoadOptions, LoadSink, Loaded, Refusal, ValueView, load};

const KEYS: u64 = 100_000;

struct Dropped;

impl LoadSink for Dropped {
    fn key(&mut self, key: &[u8], value: Loaded<'_>, _: Attributes) -> Result<(), Refusal> {
        black_box((key, value));
        Ok(())
    }

    fn function(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }
}

fn file() -> Vec<u8> {
    let (mut out, mut encoder) = (Vec::new(), Encoder::new(false));
    encoder.header(&mut out, &Header::default());
    encoder.select_db(&mut out, 0);
    for key in 0..KEYS {
        let name = format!("key:{key:012}");
        encoder.key(&mut out, name.as_bytes(), ValueView::Str(&[b'x'; 64]), Attributes::default());
    }
    let mut written = Crc64::new();
    written.update(&out);
    finish(&mut out, &mut written, true);
    out
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let bytes = file();
    let options = LoadOptions::default();
    let mut group = criterion.benchmark_group("rdb_load");
    group.sample_size(20).throughput(Throughput::Elements(KEYS));
    group.bench_function("strings_64", |bencher| {
        bencher.iter(|| {
            let report = load(black_box(&bytes), &options, &mut Dropped);
            assert_eq!(report.map(|report| report.keys), Ok(KEYS));
        });
    });
    group.finish();
    criterion.final_summary();
}
