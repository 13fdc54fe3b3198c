#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fastness::exchange::ndjson::read::fuzz_line(bytes));
