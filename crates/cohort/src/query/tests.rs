use proptest::prelude::*;

use super::*;
use crate::testing::recording;

fn cohort() -> Vec<Recording> {
    let mut old = recording("01");
    old.labels.insert("age".into(), Value::Number(71.0));
    old.labels.insert("site".into(), Value::Text("A".into()));
    old.labels.insert("has_fmri".into(), Value::Flag(true));
    old.labels.insert("years at school".into(), Value::Number(12.0));
    let mut young = recording("02");
    young.labels.insert("age".into(), Value::Number(19.5));
    young.labels.insert("site".into(), Value::Text("B".into()));
    young.labels.insert("has_fmri".into(), Value::Flag(false));
    let mut unknown = recording("03");
    unknown.labels.insert("site".into(), Value::Text("A".into()));
    vec![old, young, unknown]
}

/// Subjects of which the query is true.
fn chosen(text: &str) -> String {
    let cohort = cohort();
    let query = Query::parse(text).unwrap_or_else(|error| panic!("{error}"));
    query.check(&cohort).unwrap_or_else(|error| panic!("{error}"));
    let holds = |it: &&Recording| query.answer(it) == Answer::True;
    cohort.iter().filter(holds).map(|it| it.subject().to_owned()).collect::<Vec<_>>().join(" ")
}

fn refused(text: &str) -> String {
    let checked = Query::parse(text).and_then(|query| query.check(&cohort()));
    checked.unwrap_err().to_string()
}

#[test]
fn recordings_are_chosen_by_what_is_known_of_them() {
    assert_eq!(chosen("age >= 50 and site == \"A\""), "01");
    assert_eq!(chosen("age < 50 or site == 'A'"), "01 02 03");
    assert_eq!(chosen("site in ['B', 'C']"), "02");
    assert_eq!(chosen("site not in ['B', 'C']"), "01 03");
    assert_eq!(chosen("not (age > 20)"), "02");
    assert_eq!(chosen("subject != \"02\" AND task == 'rest'"), "01 03");
    assert_eq!(chosen("has_fmri"), "01");
    assert_eq!(chosen("has_fmri == FALSE"), "02");
    assert_eq!(chosen("`years at school` == 12"), "01");
    assert_eq!(chosen("age==71 or site=='B'"), "01 02");
    assert_eq!(chosen("age > -1e1 and age <= +7.1e+1"), "01 02");
}

#[test]
fn and_binds_closer_than_or_and_not_closest() {
    assert_eq!(chosen("site == 'B' or site == 'A' and age > 50"), "01 02");
    assert_eq!(chosen("(site == 'B' or site == 'A') and age > 50"), "01");
    assert_eq!(chosen("not site == 'B' and has_fmri"), "01");
    assert_eq!(chosen("not not site == 'B'"), "02");
}

#[test]
fn what_is_missing_is_neither_true_nor_false() {
    assert_eq!(chosen("age is missing"), "03");
    assert_eq!(chosen("age is not missing"), "01 02");
    assert_eq!(chosen("not age == 71"), "02", "03 may be 71");
    assert_eq!(chosen("age != 71"), "02");
    assert_eq!(chosen("age > 1 or site == 'A'"), "01 02 03");
    assert_eq!(chosen("session is missing"), "01 02 03");
    assert_eq!(chosen("session == '2'"), "");
    let query = Query::parse("site == 'A' and age > 1").unwrap();
    assert_eq!(query.answer(&cohort()[2]), Answer::Unknown("age"));
    assert_eq!(query.answer(&cohort()[1]), Answer::False);
}

#[test]
fn mistakes_are_pointed_at() {
    assert_eq!(
        refused("age >= 50 and sit == \"A\""),
        "no column sit; there are age, has_fmri, site, subject, task, years at school\n  \
         age >= 50 and sit == \"A\"\n                ^^^"
    );
    assert_eq!(refused("age = 50"), "`=` means nothing here, expected `==`\n  age = 50\n      ^");
    assert_eq!(
        refused("age >= and"),
        "`and` stands here, expected a number, a text in quotation marks, true or false\n  \
         age >= and\n         ^^^"
    );
    assert_eq!(refused("age >="), "the query ends here, expected a value\n  age >=\n        ^");
    assert_eq!(
        refused("site == A"),
        "a text stands in quotation marks, as in \"A\"\n  site == A\n          ^"
    );
    assert_eq!(
        refused("subject == 1"),
        "column subject holds text, not numbers; write \"1\"\n  subject == 1\n             ^"
    );
    let first = |text| refused(text).lines().next().unwrap().to_owned();
    assert_eq!(first("age > 'x'"), "column age holds numbers, not text");
    assert_eq!(first("site > 'x'"), "only numbers are smaller or larger");
    assert_eq!(first("age"), "column age holds numbers, not true or false");
    assert_eq!(first("(age > 1"), "the query ends here, expected `)`");
    assert_eq!(first("age > 1)"), "`)` stands here, expected `and`, `or` or the end");
    assert_eq!(first("age && site"), "`&&` means nothing here, expected `and`");
    assert_eq!(first("site == 'A"), "' is not closed");
    assert_eq!(first("age > 5x"), "`5x` is not a number; a text stands in quotation marks");
    assert_eq!(first("age is old"), "`old` stands here, expected `missing`");
    assert_eq!(first("age in 5"), "`5` stands here, expected `[` and a list of values");
    assert_eq!(
        first("age in []"),
        "`]` stands here, expected a number, a text in quotation marks, true or false"
    );
    assert_eq!(first("18 <= age"), "`18` stands here, expected the name of a column, `not` or `(`");
    assert_eq!(first("  "), "the query ends here, expected the name of a column, `not` or `(`");
    assert_eq!(first("age; drop"), "`;` means nothing here");
    assert!(first(&"(".repeat(100_000)).contains("nested less deeply"));
    let mut mixed = cohort();
    mixed[1].labels.insert("age".into(), Value::Text("89+".into()));
    let error = Query::parse("age > 1").unwrap().check(&mixed).unwrap_err();
    assert_eq!(error.problem, "column age holds values of several kinds");
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in "\\PC{0,40}", ) {
        if let Err(error) = Query::parse(&text) {
            prop_assert!(error.at <= text.chars().count() && error.len >= 1);
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn words_in_any_order_are_a_query_or_a_mistake(
        words in prop::collection::vec(
            prop::sample::select(vec!["age", "site", "and", "or", "not", "in", "is", "missing", "(", ")",
                "[", "]", ",", "==", "<", "1", "'A'", "true", "`age`"]), 0..12)
    ) {
        let text = words.join(" ");
        if let Ok(query) = Query::parse(&text) && query.check(&cohort()).is_ok() {
            for recording in cohort() {
                // De Morgan: the opposite has the opposite answer
                let negated = Query::parse(&format!("not ({text})")).unwrap();
                let opposite = match query.answer(&recording) {
                    Answer::True => Answer::False,
                    Answer::False => Answer::True,
                    unknown @ Answer::Unknown(_) => unknown,
                };
                prop_assert_eq!(negated.answer(&recording), opposite);
            }
        }
    }
}

#[test]
fn an_age_that_is_known_from_below_decides_what_it_can() {
    let mut cohort = cohort();
    cohort[2].labels.insert("age".into(), Value::AtLeast(89.0));
    let answer = |text: &str| {
        let query = Query::parse(text).unwrap();
        query.check(&cohort).unwrap();
        query.answer(&cohort[2]) == Answer::True
    };
    let unknown = |text: &str| {
        let query = Query::parse(text).unwrap();
        query.answer(&cohort[2]) == Answer::Unknown("age")
    };
    for text in ["age >= 50", "age >= 89", "age > 88.9", "age != 70", "not (age < 89)"] {
        assert!(answer(text), "{text}");
    }
    for text in ["age < 50", "age <= 88", "age == 70", "age in [70, 71]"] {
        assert!(!answer(text) && !unknown(text), "{text}");
    }
    for text in ["age > 89", "age < 95", "age == 89", "age in [70, 90]"] {
        assert!(unknown(text), "{text}");
    }
}

#[test]
fn entities_alone_may_rule_a_query_out() {
    let entities = recording("01").entities;
    let may_hold = |text: &str| Query::parse(text).unwrap().may_hold(&entities);
    assert!(may_hold("echo is missing and age > 20"));
    assert!(may_hold("not (age > 20) and task == 'rest'"));
    assert!(!may_hold("echo is not missing"));
    assert!(!may_hold("age > 20 and echo == '1'"), "a missing echo is neither 1 nor another");
    assert!(!may_hold("not (echo == '1')"));
    assert!(may_hold("echo == '1' or age > 20"));
}
