use super::*;
use crate::testing::{recording, write};

/// The recording of a resting run.
fn run(subject: &str, session: &str, run: &str) -> Recording {
    let mut recording = recording(subject);
    recording.entities.add(Entity::Session, session);
    recording.entities.add(Entity::Run, run);
    recording
}

/// Joins one table of which one column is asked; gives the warnings.
fn join(table: LabelTable, recordings: &mut [Recording], asked: &str) -> Result<Vec<String>> {
    let asked = asked.split_whitespace().map(str::to_owned).collect();
    LabelTables { all: vec![table], problems: Vec::new() }.join(recordings, &asked)
}

struct Table(tempfile::TempDir);

impl Table {
    fn new(text: &str) -> Self {
        let table = Self(tempfile::tempdir().unwrap());
        write(&table.0.path().join("t.csv"), text);
        table
    }

    fn read(&self) -> Result<LabelTable> {
        LabelTable::read(&self.0.path().join("t.csv"))
    }

    /// What is said, without the folder; or the ages.
    fn joined(&self, recordings: &[Recording]) -> String {
        let mut recordings = recordings.to_vec();
        let outcome = self.read().and_then(|it| join(it, &mut recordings, ""));
        if let Err(error) = outcome {
            return error.to_string().replace(&format!("{}/", self.0.path().display()), "");
        }
        let age = |it: &Recording| it.labels.get("age").map_or("none".to_owned(), Value::in_words);
        recordings.iter().map(age).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn an_index_is_equal_as_a_number() {
    let text = "participant_id,run,age\nsub-01,01,50\nsub-01,2,51\n";
    let recordings = [run("01", "1", "1"), run("01", "1", "02")];
    assert_eq!(Table::new(text).joined(&recordings), "50 51");
    let twice = Table::new("participant_id,run,age\nsub-01,01,50\nsub-01,run-1,51\n");
    assert_eq!(twice.joined(&recordings), "t.csv: rows 2 and 3 are both about one recording");
}

#[test]
fn labels_are_found_without_the_marks_inside() {
    let text = "subject_id,session_id,age\nNDAR_INV0A1,2_0,9\nsub-NDARINV0B2,2-0,10\n";
    let recordings = [run("NDARINV0A1", "20", "1"), run("NDARINV0B2", "20", "1")];
    assert_eq!(Table::new(text).joined(&recordings), "9 10");
    let twice = Table::new("subject_id,age\nNDAR_INV0A1,9\nNDARINV0A1,10\n");
    assert_eq!(twice.joined(&recordings), "t.csv: rows 2 and 3 are both about one subject");
}

#[test]
fn a_table_about_nobody_is_refused_and_nobody_is_named() {
    let recordings = [run("01", "1", "1"), run("02", "1", "1")];
    let said = |text: &str| Table::new(text).joined(&recordings);
    let none = "none of its 2 rows is about a recording of the cohort";
    assert_eq!(
        said("eid,age\n1,50\n2,51\n"),
        format!(
            "t.csv: {none}: column eid writes the subject as 9, the cohort as 99 (9 is a digit, a \
             is a letter)"
        )
    );
    assert_eq!(
        said("eid,age\nsub-77,50\nsub-78,51\n"),
        format!("t.csv: {none}: column eid says no subject of the cohort")
    );
    assert_eq!(said("eid,age\n?,50\n!,51\n"), format!("t.csv: {none}: column eid says no subject"));
    assert_eq!(
        said("participant_id,task,age\nsub-01,nback,50\nsub-02,nback,51\n"),
        format!(
            "t.csv: {none}: column task writes the task as aaaaa, the cohort as aaaa (9 is a \
             digit, a is a letter)"
        )
    );
    assert_eq!(
        said("participant_id,session_id,age\nsub-01,2,50\nsub-03,1,51\n"),
        format!("t.csv: {none}: no row says all of a recording in participant_id, session_id")
    );
    assert_eq!(said("participant_id,age\nsub-01,50\nsub-77,51\n"), "50 none");
}

#[test]
fn a_table_that_nobody_named_may_be_about_others() {
    let table = Table::new("eid,age\n7,50\n8,51\n").read().unwrap().unnamed();
    let mut recordings = [recording("01")];
    assert!(join(table, &mut recordings, "site").is_ok());
    let table = Table::new("eid,age\n7,50\n8,51\n").read().unwrap().unnamed();
    assert!(join(table, &mut recordings, "age").is_err());
}

#[test]
fn only_a_manifest_has_columns_to_name() {
    let hint = |text: &str| Table::new(text).read().err().and_then(|error| error.hint());
    assert_eq!(
        hint("who,age\n1,50\n").unwrap(),
        "rename the column that says the subject to participant_id"
    );
    assert_eq!(hint("eid,sub,age\n1,1,50\n").unwrap(), "call sub otherwise in the table");
}

#[test]
fn rows_that_differ_in_an_echo_are_told_apart_or_agree() {
    let text = "bids_name,tsnr,site\n\
                sub-01_task-rest_echo-1_bold,40,A\n\
                sub-01_task-rest_echo-2_bold,30,A\n";
    let table = || Table::new(text).read().unwrap();
    let mut one = recording("01");
    one.entities.add(Entity::Echo, "2");
    let mut recordings = [one];
    assert_eq!(join(table(), &mut recordings, "tsnr").unwrap(), Vec::<String>::new());
    assert_eq!(recordings[0].labels["tsnr"], Value::Number(30.0));
    // of the combined echoes only what all rows agree in is known
    let mut recordings = [recording("01")];
    let warnings = join(table(), &mut recordings, "site").unwrap();
    assert!(warnings[0].ends_with("one recording: left out of its columns: tsnr"), "{warnings:?}");
    assert_eq!(recordings[0].labels.keys().collect::<Vec<_>>(), ["site"]);
    let said = join(table(), &mut recordings, "tsnr").unwrap_err().to_string();
    assert!(said.ends_with("rows 2 and 3 are both about one recording"), "{said}");
    let columns = "participant_id,direction,tsnr\nsub-01,AP,40\nsub-01,PA,30\n";
    let mut recordings = [recording("01")];
    recordings[0].entities.add(Entity::Direction, "PA");
    assert!(join(Table::new(columns).read().unwrap(), &mut recordings, "tsnr").unwrap().is_empty());
    assert_eq!(recordings[0].labels["tsnr"], Value::Number(30.0));
}

#[test]
fn a_documented_level_is_a_value_whatever_it_is_called() {
    let table = Table::new("participant_id,drug,dose\nsub-01,None,NA\nsub-02,n/a,3\n");
    let drug = |recordings: &[Recording]| {
        recordings.iter().map(|it| it.labels.get("drug").map(Value::in_words)).collect::<Vec<_>>()
    };
    let mut recordings = [recording("01"), recording("02")];
    join(table.read().unwrap(), &mut recordings, "drug").unwrap_or_default();
    assert_eq!(drug(&recordings), [None, None]);
    write(&table.0.path().join("t.json"), "{\"drug\": {\"Levels\": {\"None\": \"no drug\"}}}");
    join(table.read().unwrap(), &mut recordings, "drug").unwrap();
    assert_eq!(drug(&recordings), [Some("None".to_owned()), None]);
    assert!(!recordings[0].labels.contains_key("dose"));
}

#[test]
fn a_table_of_abcd_is_read_below_its_descriptions() {
    let names = "\"dataset_id\"\t\"subjectkey\"\t\"src_subject_id\"\t\"eventname\"\t\"age\"\n";
    let described = "\"dataset_id\"\t\"The NDAR Global Unique Identifier (GUID) for research subject\"\t\
                     \"Subject ID how it's defined in lab/project\"\t\
                     \"The event name for which the data was collected\"\t\"Age in months\"\n";
    let row = |event: &str, age: u32| {
        format!("\"1\"\t\"NDAR_INV0A1\"\t\"NDAR_INV0A1\"\t\"{event}\"\t\"{age}\"\n")
    };
    let (first, later) = (row("baseline_year_1_arm_1", 131), row("2_year_follow_up_y_arm_1", 155));
    let mut recordings =
        [run("NDARINV0A1", "baselineYear1Arm1", "1"), run("NDARINV0A1", "2YearFollowUpYArm1", "1")];
    let table = Table::new(&format!("{names}{described}{first}{later}"));
    assert_eq!(table.joined(&recordings), "131 155");
    let said = join(table.read().unwrap(), &mut recordings, "age").unwrap();
    assert_eq!(said.len(), 1);
    assert!(said[0].ends_with("/t.csv: row 2 describes the columns, as in tables of the NIMH Data Archive, and was left out"));
    assert_eq!(recordings[0].labels["age"], Value::Number(131.0));
    // rows are counted as the file has them
    let twice = Table::new(&format!("{names}{described}{first}{first}"));
    let said = twice.joined(&recordings);
    assert_eq!(said, "t.csv: rows 3 and 4 are both about one recording");
    let unclear = Table::new(&format!("{names}{}{first}", described.replace("Age in months", "9")));
    let said = unclear.joined(&recordings);
    assert!(
        said.contains("row 2: describes the column subjectkey and holds a value in age"),
        "{said}"
    );
}
