//! On tables of embeddings as the stage before writes them.

use super::*;

/// 12 people at two sites, the second one higher and wider; their age is in the first feature.
fn table(sites: &[&str], splits: Option<&[&str]>) -> Table {
    let n = sites.len();
    let text = |all: &[&str]| Column::Text(all.iter().map(|it| Some((*it).to_owned())).collect());
    let ages = (0..n).map(|idx| Some(20 + (idx * 7 % 40) as i64)).collect::<Vec<_>>();
    let noise = |idx: usize, feature: usize| ((idx * 5 + feature * 3) % 7) as f32 / 7.0 - 0.5;
    let values = (0..n).flat_map(|idx| {
        let wide = if sites[idx] == "york" { 2.0 } else { 1.0 };
        let age = ages[idx].unwrap_or_default() as f32;
        (0..3).map(move |feature| {
            0.1 * age + wide * noise(idx, feature) + if wide > 1.0 { 4.0 } else { 0.0 }
        })
    });
    let embedding = Column::Vector { width: 3, values: values.collect() };
    let mut columns = vec![("site", text(sites)), ("age", Column::Integer(ages.clone()))];
    columns.extend(splits.map(|splits| ("split", text(splits))));
    columns.push(("embedding", embedding));
    Table::new(columns).unwrap()
}

fn config(yaml: &str) -> HarmoniseConfig {
    ::config::parse(Path::new("h.yaml"), yaml).unwrap()
}

const SITES: [&str; 13] = [
    "bonn", "bonn", "bonn", "bonn", "bonn", "bonn", "york", "york", "york", "york", "york", "york",
    "oslo",
];

const COMBAT: &str = "combat: { site: site, keep: [age], unseen_sites: refuse }";

#[test]
fn sites_become_alike_and_who_cannot_be_is_told() {
    let (table, config) = (table(&SITES, None), config(COMBAT));
    let fitted = config.fit(&table).unwrap();
    assert_eq!(fitted.notes(), ["sites of one training person, left out of the fit: oslo"]);
    let rows = fitted.apply(&config, &table);
    let mean =
        |from: usize| (from..from + 6).map(|row| rows[row].as_ref().unwrap()[0]).sum::<f64>() / 6.0;
    let before = |from: usize| (from..from + 6).map(|row| vector(&table, row)[0]).sum::<f64>();
    assert!((before(6) - before(0)).abs() / 6.0 > 3.0);
    assert!((mean(6) - mean(0)).abs() < 1.5, "ages differ between the sites and stay");
    let why = rows[12].as_ref().unwrap_err();
    assert!(why.starts_with("site oslo has no two training people"), "{why}");
    let left = harmonised(&table, &rows).unwrap();
    assert_eq!((left.n_rows(), table.n_rows()), (12, 13));
    assert_eq!(left.column("site").unwrap().cell(11), Cell::Text("york"));
}

#[test]
fn people_outside_of_the_training_split_change_nothing() {
    let mut splits = vec!["train"; 13];
    (splits[2], splits[7], splits[12]) = ("test", "validation", "test");
    let config = config("combat: { site: site, unseen_sites: pass }\nregress_out: [age]");
    let fitted = |table: &Table| config.fit(table).unwrap().said(&config);
    let table = table(&SITES, Some(&splits));
    let base = fitted(&table);
    assert_eq!(base["n_training_people"], 10);
    let moved = |row: usize| {
        let columns = table.columns().iter().map(|(name, column)| match column {
            Column::Vector { width, values } => {
                let mut values = values.clone();
                values[row * 3] += 100.0;
                (name.clone(), Column::Vector { width: *width, values })
            }
            other => (name.clone(), other.clone()),
        });
        Table::new(columns.collect::<Vec<_>>()).unwrap()
    };
    [2, 7, 12].into_iter().for_each(|row| assert_eq!(fitted(&moved(row)), base, "row {row}"));
    assert_ne!(fitted(&moved(3)), base, "a training person does");
}

#[test]
fn what_is_regressed_out_is_gone() {
    let (table, config) = (table(&SITES[..12], None), config("regress_out: [age, site]"));
    let rows = config.fit(&table).unwrap().apply(&config, &table);
    let ages: Vec<f64> = (0..12).map(|row| 20.0 + (row * 7 % 40) as f64).collect();
    let mean_age = ages.iter().sum::<f64>() / 12.0;
    for feature in 0..3 {
        let of = |row: usize| rows[row].as_ref().unwrap()[feature];
        let mean = (0..12).map(of).sum::<f64>() / 12.0;
        let with_age: f64 = (0..12).map(|row| (of(row) - mean) * (ages[row] - mean_age)).sum();
        assert!(with_age.abs() < 1e-6, "{with_age}");
        let gap: f64 = (6..12).map(of).sum::<f64>() - (0..6).map(of).sum::<f64>();
        assert!(gap.abs() < 1e-6, "{gap}");
    }
}

#[test]
fn settings_that_take_nothing_out_or_name_a_column_twice_are_refused() {
    let said = |yaml: &str| config(yaml).check().unwrap_err().to_string();
    let expected = "stages.harmonise: takes nothing out, expected `combat` or `regress_out`";
    assert_eq!(said("{}"), expected);
    let twice = "regress_out: [age, sex, age]";
    assert_eq!(said(twice), "stages.harmonise: names the column age twice");
    let kept = "combat: { site: site, keep: [age], unseen_sites: pass }\nregress_out: [age]";
    assert!(config(kept).check().is_ok(), "kept by one and taken out by the other");
}
