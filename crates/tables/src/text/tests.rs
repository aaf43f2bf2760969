use std::io::Write as _;

use super::*;
use crate::read as read_file;

fn read_bytes(bytes: &[u8]) -> Result<Table> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    read_file(file.path())
}

/// What is said, without the folder.
fn refused(bytes: &[u8]) -> String {
    let text = read_bytes(bytes).unwrap_err().to_string();
    text.split_once(": ").unwrap().1.to_owned()
}

#[test]
fn a_manifest_of_the_field_gets_the_kinds_it_means() {
    let text = "eid,session_id,tensor_path,age,sex,site,has_fmri,mean_fd\n\
                1001,2,a/1.pt,54,F,\"Oxford, UK\",True,0.1\n\
                1002,3,a/2.pt,,M,n/a,False,NaN\n";
    let table = read_bytes(text.as_bytes()).unwrap();
    let cell = |name: &str, row: usize| table.column(name).unwrap().cell(row);
    assert_eq!((table.n_rows(), table.names().count()), (2, 8));
    assert_eq!(cell("eid", 1), Cell::Integer(1002));
    assert_eq!((cell("age", 0), cell("age", 1)), (Cell::Integer(54), Cell::Missing));
    assert_eq!((cell("site", 0), cell("site", 1)), (Cell::Text("Oxford, UK"), Cell::Missing));
    assert_eq!((cell("has_fmri", 0), cell("mean_fd", 0)), (Cell::Flag(true), Cell::Number(0.1)));
    assert_eq!(cell("mean_fd", 1), Cell::Missing);
}

#[test]
fn tabs_semicolons_marks_and_line_ends_of_other_programs_are_read() {
    for text in [
        "participant_id\tage\nsub-01\t30\n",
        "\u{feff}participant_id;age\r\nsub-01;30\r\n",
        "participant_id,age\nsub-01, 30 \n\n",
        "\"participant_id\",\"age\"\n\"sub-01\",\"30\"",
    ] {
        let table = read_bytes(text.as_bytes()).unwrap();
        assert_eq!(table.names().collect::<Vec<_>>(), ["participant_id", "age"], "{text:?}");
        assert_eq!(table.column("participant_id").unwrap().cell(0), Cell::Text("sub-01"));
        assert_eq!(table.column("age").unwrap().cell(0), Cell::Integer(30), "{text:?}");
    }
    let numbered = read_bytes(b",age\n0,30\n").unwrap();
    assert_eq!(numbered.names().collect::<Vec<_>>(), ["column 1", "age"]);
}

#[test]
fn labels_that_look_like_numbers_stay_labels() {
    let kind = |cells: &str| read_bytes(format!("x\n{cells}").as_bytes()).unwrap();
    let is_text = |cells| matches!(kind(cells).column("x"), Some(Column::Text(_)));
    assert!(is_text("007\n012\n") && is_text("01.5\n") && is_text("1_0\n"));
    assert!(is_text("nano\n1\n") && is_text("n/a\n\n"), "a column without values has no kind");
    assert_eq!(kind("1\n2.5\n-1e3\n.5\n").column("x").unwrap().cell(2), Cell::Number(-1000.0));
    assert_eq!(kind("0\n-1\n").column("x").unwrap().cell(0), Cell::Integer(0));
    assert_eq!(kind("0.5\n-inf\n").column("x").unwrap().cell(1), Cell::Number(f64::NEG_INFINITY));
    let long = kind("9223372036854775808\n");
    assert_eq!(long.column("x").unwrap().cell(0), Cell::Number(9_223_372_036_854_775_808.0));
}

#[test]
fn what_is_wrong_is_one_sentence_with_row_and_column() {
    assert_eq!(refused(b""), "is an empty file, expected a table: CSV, TSV or Parquet");
    assert_eq!(
        refused(b"a,b\n1,2\n1,2,3\n"),
        "row 3: has 3 cells, expected 2 as in the line of names"
    );
    assert_eq!(refused(b"a,a\n1,2\n"), "column a appears twice");
    assert_eq!(refused(b"a,b\n1,\xe9\n"), "row 2: column b is not UTF-8");
    assert_eq!(refused(b"a\xe9,b\n1,2\n"), "row 1: cell 1 is not UTF-8");
    assert_eq!(refused(b"a,b\n1,\"2\n"), "a quotation mark is not closed");
    assert!(refused(b"\xff\xfea\0").starts_with("is text in UTF-16"));
    assert!(refused(b"PK\x03\x04").contains("a workbook"));
    assert!(refused(b"a\0b").starts_with("is a binary file"));
    assert!(
        read_file("nowhere.csv")
            .unwrap_err()
            .to_string()
            .starts_with("nowhere.csv: cannot be read")
    );
}

#[test]
fn text_is_written_as_bids_or_pandas_would_read_it() {
    let table = Table::new([
        ("subject", Column::Text(vec![Some("01".into()), Some("a\tb".into()), None])),
        ("fd", Column::Number(vec![Some(0.1), None, Some(2.0)])),
        (
            "v",
            Column::Vector { width: 2, values: vec![0.5, 1.0, f32::MIN_POSITIVE, 3.0, 1e20, 0.1] },
        ),
    ])
    .unwrap();
    let tsv = String::from_utf8(table.to_text(Separator::Tab).unwrap()).unwrap();
    let lines: Vec<&str> = tsv.lines().collect();
    assert_eq!(lines[..2], ["subject\tfd\tv_0\tv_1", "01\t0.1\t0.5\t1"]);
    assert!(lines[2].starts_with("\"a\tb\"\tn/a\t"), "{tsv}");
    assert!(lines[3].starts_with("n/a\t2.0\t"), "{tsv}");
    let csv = String::from_utf8(table.to_text(Separator::Comma).unwrap()).unwrap();
    assert!(csv.contains("\n,2.0,"), "{csv}");
    let back = read_bytes(csv.as_bytes()).unwrap();
    let Some(Column::Number(seen)) = back.column("v_0") else { panic!("{back:?}") };
    let seen: Vec<f32> = seen.iter().map(|x| x.unwrap() as f32).collect();
    assert_eq!(seen, [0.5, f32::MIN_POSITIVE, 1e20]);
    let clash = Table::new([
        ("v_0", Column::Flag(vec![None])),
        ("v", Column::Vector { width: 1, values: vec![1.0] }),
    ]);
    assert!(clash.unwrap().to_text(Separator::Comma).is_err());
}

#[test]
fn in_tables_of_bids_only_one_word_is_missing_among_words() {
    let text = "who\tdrug\tage\tscanned\tdose\n\
                1\tNone\t30\tTrue\tNaN\n\
                2\tNA\tNaN\tNone\t20\n\
                3\tn/a\t89+\tFalse\t\n";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let read = |missing: &Missing| crate::read_with(file.path(), missing).unwrap();
    let cells = |table: &Table, name: &str| -> Vec<String> {
        let column = table.column(name).unwrap();
        (0..3).map(|row| column.cell(row).in_words("-")).collect()
    };
    let usual = read(&Missing::default());
    assert_eq!(cells(&usual, "drug"), ["-", "-", "-"]);
    let mut missing = Missing { bids: true, ..Missing::default() };
    let bids = read(&missing);
    assert_eq!(cells(&bids, "drug"), ["None", "NA", "-"]);
    assert_eq!(cells(&bids, "age"), ["30", "-", "89+"]);
    assert_eq!(cells(&bids, "scanned"), ["true", "-", "false"]);
    assert_eq!(cells(&bids, "dose"), ["-", "20", "-"]);
    missing.levels.insert("dose".to_owned(), ["NaN".to_owned()].into());
    assert_eq!(cells(&read(&missing), "dose"), ["NaN", "20", "-"]);
}

#[test]
fn a_second_line_of_descriptions_is_no_row() {
    // as the NIMH Data Archive writes tables of ABCD
    let names = "\"collection_id\"\t\"subjectkey\"\t\"interview_age\"\t\"sex\"\n";
    let described = "\"collection_id\"\t\"The NDAR Global Unique Identifier (GUID) for research subject\"\t\
                     \"Age in months at the time of the interview\"\t\"Sex of the subject\"\n";
    let row = "\"2573\"\t\"NDAR_INV0A1\"\t\"131\"\t\"F\"\n";
    let table = read_bytes(format!("{names}{described}{row}").as_bytes()).unwrap();
    assert_eq!((table.n_rows(), table.is_described(), table.first_line()), (1, true, 3));
    assert_eq!(table.column("interview_age").unwrap().cell(0), Cell::Integer(131));
    let plain = read_bytes(format!("{names}{row}").as_bytes()).unwrap();
    assert_eq!((plain.n_rows(), plain.is_described(), plain.first_line()), (1, false, 2));
    // columns of numbers tell it, whatever the subjects are called
    let table = read_bytes(b"id,Age,iq\nID of the person,age,intelligence quotient\nA1,30,101\n");
    let table = table.unwrap();
    assert_eq!((table.n_rows(), table.column("iq").unwrap().cell(0)), (1, Cell::Integer(101)));
    for text in [
        "id,note\nA1,was not well\nA2,was well\n",
        "id,age\nA1,not yet known\nA2,30\n",
        "full name,age\nno one,31\nsome one,30\n",
    ] {
        let table = read_bytes(text.as_bytes()).unwrap();
        assert_eq!((table.n_rows(), table.is_described()), (2, false), "{text}");
    }
    let half = described.replace("\"Age in months at the time of the interview\"", "\"131\"");
    assert_eq!(
        refused(format!("{names}{half}{row}").as_bytes()),
        "row 2: describes the column subjectkey and holds a value in interview_age, expected \
         descriptions of all columns or the values of a subject"
    );
}
