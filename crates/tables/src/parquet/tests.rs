use proptest::{option, prelude::*, test_runner::TestCaseResult};

use super::*;
use crate::{read as read_file, text::Separator};

fn written(bytes: &[u8]) -> Result<Table> {
    let dir = tempfile::tempdir().unwrap();
    // the name says nothing
    let path = dir.path().join("table.csv");
    std::fs::write(&path, bytes).unwrap();
    read_file(path)
}

/// Columns of `n` rows; `word` decides what text may be.
fn columns(n: usize, word: &'static str) -> impl Strategy<Value = Table> {
    let rows = n..=n;
    (
        prop::collection::vec(option::of(word), rows.clone()),
        prop::collection::vec(option::of(any::<i64>()), rows.clone()),
        prop::collection::vec(
            option::of(prop::num::f64::ANY.prop_filter("", |x| !x.is_nan())),
            rows.clone(),
        ),
        prop::collection::vec(option::of(any::<bool>()), rows),
        (1..4_usize).prop_flat_map(move |width| {
            (Just(width), prop::collection::vec(prop::num::f32::NORMAL, width * n))
        }),
    )
        .prop_map(|(text, integer, number, flag, (width, values))| {
            Table::new([
                ("text", Column::Text(text)),
                ("whole, number", Column::Integer(integer)),
                ("number", Column::Number(number)),
                ("flag", Column::Flag(flag)),
                ("embedding", Column::Vector { width, values }),
            ])
            .unwrap()
        })
}

/// Text keeps all but lists, and columns in which nothing shows their kind.
fn same_as_text(table: &Table, separator: Separator) -> TestCaseResult {
    let back = written(&table.to_text(separator).unwrap()).unwrap();
    for (name, column) in table.columns() {
        let shows = (0..table.n_rows()).any(|row| column.cell(row) != crate::Cell::Missing);
        if shows && !matches!(column, Column::Vector { .. }) {
            prop_assert_eq!(back.column(name).unwrap(), column, "{}", name);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn parquet_gives_every_table_back(table in (1..6_usize).prop_flat_map(|n| columns(n, "\\PC*"))) {
        prop_assert_eq!(written(&table.to_parquet().unwrap()).unwrap(), table);
    }

    #[test]
    fn text_gives_words_and_numbers_back(
        table in (1..6_usize).prop_flat_map(|n| columns(n, "z[a-z ,;\t\"\n\u{e9}]{0,5}"))
    ) {
        same_as_text(&table, Separator::Comma)?;
        same_as_text(&table, Separator::Tab)?;
    }

    #[test]
    fn damage_is_a_sentence(position in 0..600_usize, bit in 0..8_u8, cut in 0..600_usize) {
        let column = Column::Text((0..40).map(|i| Some(format!("subject {i}"))).collect());
        let table = Table::new([("subject", column)]).unwrap();
        let mut bytes = table.to_parquet().unwrap();
        // behind the magic number, without which a file is text
        let (after, n) = (4, bytes.len());
        bytes[after + position % (n - after)] ^= 1 << bit;
        let _ = written(&bytes);
        bytes.truncate(after + cut % (n - 2 * after));
        prop_assert!(written(&bytes).is_err());
    }
}

#[test]
fn a_table_without_rows_is_a_table() {
    let table = Table::new([("subject", Column::Text(vec![]))]).unwrap();
    assert_eq!(written(&table.to_parquet().unwrap()).unwrap(), table);
}

// pyarrow 26.0.1: dictionaries, narrow integers, fixed lists, and kinds that are no columns of ours
#[test]
fn a_table_of_arrow_is_read_column_by_column() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tables/arrow.parquet");
    let table = read_file(path).unwrap();
    let text = |rows: [Option<&str>; 3]| Column::Text(rows.map(|it| it.map(str::to_owned)).into());
    let opaque = |kind: &str| Column::Opaque { kind: kind.to_owned(), n_rows: 3 };
    let expected = [
        ("eid", Column::Integer(vec![Some(1001), Some(1002), Some(1003)])),
        ("sex", text([Some("F"), Some("M"), None])),
        ("site", text([Some("A"), None, Some("B")])),
        ("age", Column::Number(vec![Some(54.5), None, Some(61.0)])),
        ("visits", Column::Integer(vec![Some(1), Some(2), Some(127)])),
        ("wave", Column::Integer(vec![Some(1), None, Some(65535)])),
        ("has_fmri", Column::Flag(vec![Some(true), Some(false), None])),
        ("mean_fd", Column::Number(vec![Some(0.25), Some(0.5), None])),
        ("embedding", Column::Vector { width: 2, values: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0] }),
        ("vector", Column::Vector { width: 2, values: vec![0.5, 1.0, 1.5, 2.0, 2.5, 3.0] }),
        ("ragged", opaque("lists of differing lengths")),
        ("scanned", opaque("Timestamp")),
        ("where", opaque("Struct")),
    ];
    for (name, column) in expected {
        assert_eq!(table.column(name), Some(&column), "{name}");
    }
    let error = table.to_parquet().unwrap_err().to_string();
    assert_eq!(error, "column ragged holds lists of differing lengths, which is not written");
}
