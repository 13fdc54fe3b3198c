#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fastness::snapshot::container::read::fuzz_container(bytes));
