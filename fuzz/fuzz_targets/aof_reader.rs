#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fastness::aof::reader::fuzz_aof_reader(bytes));
