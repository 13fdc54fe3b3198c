#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fastness::snapshot::load::fuzz_rdb(bytes));
