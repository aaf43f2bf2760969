//! A small covering array of pipelines: what `check` accepts runs to the end, what it refuses is one
//! sentence, and nothing panics. `cargo xtask covering` has all of it.

use tests::run;
use xtask::covering::{Said, Size, cover};

#[test]
fn check_and_run_agree_on_every_pair_of_choices() {
    let folder = tempfile::tempdir().unwrap();
    let program = |words: &[&str]| {
        let ran = run(words);
        Ok(Said { code: ran.code, stderr: ran.stderr })
    };
    let outcome = cover(Size::Small, folder.path(), &program, &mut |_, _, _| ()).unwrap();
    assert!(outcome.agrees(), "{}", outcome.in_words());
    // an array that is all refused would say nothing
    assert!(outcome.n_run >= 4 && outcome.n_refused >= 10, "{}", outcome.in_words());
}
