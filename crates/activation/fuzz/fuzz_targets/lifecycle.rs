#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| activation_fuzz::lifecycle(bytes));
