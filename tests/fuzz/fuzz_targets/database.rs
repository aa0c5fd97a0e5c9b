//! Opening a database that may be anything: it is served, or refused as it is.

#![no_main]

use std::fs;

use chinwag::accounts::{Accounts, Location};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(directory) = tempfile::tempdir() else { return };
    let path = directory.path().join("accounts.db");
    if fs::write(&path, data).is_err() {
        return;
    }
    match Accounts::<u64>::open(&Location::File(path.clone()), |_| {}) {
        Ok(accounts) => accounts.close(),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.contains('\n'), "not one line: {text:?}");
            assert_eq!(fs::read(&path).ok().as_deref(), Some(data), "refused and changed: {text}");
        }
    }
});
