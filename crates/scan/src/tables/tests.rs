//! Small tables in every form, and the ways they go wrong.

use ndarray::{Array2, ArrayD, IxDyn, array};
use proptest::prelude::*;

use super::*;
use crate::{
    nii::testing::{Scratch, oracle},
    read_npy, write_npy,
};

fn options(axes: SeriesAxes) -> OpenOptions {
    OpenOptions { axes: Some(axes), t_r: Some(0.72), ..OpenOptions::default() }
}

#[test]
fn what_pandas_writes_beside_the_numbers_is_no_frame_and_no_parcel() {
    let scratch = Scratch::new();
    let read = |text: &str| {
        let path = scratch.file("series.csv", text.as_bytes());
        read_series(&path, &options(SeriesAxes::TimeParcels))
    };
    // the places of columns instead of names
    let series = read("0,1,2\n4.5,5,6\n7,8,9\n").unwrap();
    assert_eq!(series.values, array![[4.5, 5.0, 6.0], [7.0, 8.0, 9.0]]);
    let refused = read(",a,b\n0,1,2\n1,4,5\n").unwrap_err().to_string();
    assert!(refused.contains("its first column has no name"), "{refused}");
    let refused = read(",0,1,2\n0,1,2,3\n1,4,5,6\n").unwrap_err().to_string();
    assert!(refused.contains("its first column has no name"), "{refused}");
    let series = read("\"Pole, left\",\"Pole, right\"\n1,2\n").unwrap();
    assert_eq!(series.values, array![[1.0, 2.0]]);
    // a last cell without a value
    let series = read("a\tb\tc\n1\t2\t\n4\t5\t6\n").unwrap();
    assert!(series.values[[0, 2]].is_nan() && series.values[[1, 2]] == 6.0);
}

#[test]
fn a_second_line_of_descriptions_is_no_frame() {
    let scratch = Scratch::new();
    let file = |text: &str| scratch.file("series.tsv", text.as_bytes());
    let read = |text: &str| read_series(file(text), &options(SeriesAxes::TimeParcels));
    let table = "\"lh\"\t\"rh\"\n\"mean of the left\"\t\"rh\"\n1\t2\n3\t4\n";
    let series = read(table).unwrap();
    assert_eq!(series.values, array![[1.0, 2.0], [3.0, 4.0]]);
    assert_eq!(series.parcels[1].name, "rh");
    let crate::Description::Array(said) = crate::describe(file(table)).unwrap() else { panic!() };
    assert_eq!((said.shape, said.described_columns), (vec![2, 2], Some(true)));
    for second in ["mean of the left\t2", "mean of the left\tn/a", "left\tright"] {
        let refused = read(&format!("lh\trh\n{second}\n1\t2\n")).unwrap_err().to_string();
        assert!(refused.contains("row 2: ") && refused.contains("is not a number"), "{refused}");
    }
}

#[test]
fn text_is_read_whatever_separates_its_numbers() {
    let scratch = Scratch::new();
    let texts = [
        "1\t2\t3\r\n4\t5\tnan\r\n",
        "# made by hand\n1 2  3\n4 5 NaN\n",
        "a,b,c\n1,2,3\n4,5,n/a\n",
        "\u{feff}\"a\";\"b\";\"c\"\n1;2;3\n4;5;\n",
    ];
    for text in texts {
        let path = scratch.file("series.anything", text.as_bytes());
        let series = read_series(&path, &options(SeriesAxes::TimeParcels)).unwrap();
        assert_eq!(series.values.row(0).to_vec(), [1.0, 2.0, 3.0], "{text}");
        assert!(series.values[[1, 2]].is_nan());
        assert_eq!(series.t_r, 0.72);
        let name = if text.contains('a') && text.contains('b') && !text.contains('#') {
            series.parcels[1].name == "b" || series.parcels[1].name == "label 2"
        } else {
            series.parcels[1].name == "label 2"
        };
        assert!(name, "{:?}", series.parcels[1]);
    }
}

#[test]
fn names_in_the_comment_of_afni_and_c_pac_are_those_of_the_columns() {
    let scratch = Scratch::new();
    let read = |text: &str| {
        let path = scratch.file("x_timeseries.1D", text.as_bytes());
        let options = OpenOptions { axes: None, ..options(SeriesAxes::TimeParcels) };
        read_series(&path, &options).map(|it| {
            let parcels = it.parcels.iter().map(|it| (it.label, it.name.clone()));
            (it.values, parcels.collect::<Vec<_>>())
        })
    };
    let values = array![[1.5, 2.5], [3.5, 4.5]];
    let named = |first: (i32, &str), second: (i32, &str)| {
        vec![(first.0, first.1.to_owned()), (second.0, second.1.to_owned())]
    };
    // as C-PAC 1.8 leaves the output of `3dROIstats -1Dformat`
    let found = read("# 3dROIstats -1Dformat\n#Mean_LH_Vis_1,Mean_RH_Vis_1\n1.5,2.5\n3.5,4.5\n");
    assert_eq!(found.unwrap(), (values.clone(), named((1, "LH_Vis_1"), (2, "RH_Vis_1"))));
    let found = read("#Mean_17,Mean_4\n1.5,2.5\n3.5,4.5\n").unwrap();
    assert_eq!(found, (values.clone(), named((17, "label 17"), (4, "label 4"))));
    // as AFNI itself writes it
    let found = read("#\tNZMean_17  \tNZMean_4  \n\t1.5\t2.5\n\t3.5\t4.5\n").unwrap();
    assert_eq!(found, (values.clone(), named((17, "label 17"), (4, "label 4"))));
    let found = read("# Mean_a Mean_b\n1.5 2.5\n3.5 4.5\n").unwrap();
    assert_eq!(found, (values, named((1, "a"), (2, "b"))));
    // prose is no head, and neither is what has a word too many
    for text in [
        "# two columns\n1.5 2.5\n",
        "#a,b,c\n1.5,2.5\n",
        "#see x, and y\n1.5,2.5\n",
        "#1,2\n1.5,2.5\n",
    ] {
        let said = read(text).unwrap_err().to_string();
        assert!(said.contains("which axis is time is not said"), "{said}");
    }
}

#[test]
fn tables_of_components_are_read_as_fsl_and_the_biobank_write_them() {
    let scratch = Scratch::new();
    // dual regression of FSL, UK Biobank and HCP: blanks before and between, no header
    for n in [25, 100] {
        let cell = |at: usize| {
            let end = if at % n == n - 1 { "  \n" } else { "" };
            format!("  {:.6e}{end}", at as f64 / 7.0)
        };
        let text: Vec<String> = (0..4 * n).map(cell).collect();
        let text = text.concat();
        let path = scratch.file("dr_stage1.txt", text.as_bytes());
        let series = read_series(&path, &options(SeriesAxes::ByParcels(n))).unwrap();
        assert_eq!(series.values.dim(), (4, n));
        assert!((series.values[[3, n - 1]] - (4 * n - 1) as f64 / 7.0).abs() < 1e-6 * n as f64);
    }
    // quoted names, as ABCD's tables have them
    let path = scratch.file("abcd.txt", b"\"L Vis\"\t\"R Vis\"\r\n0.5\t1.5\r\n2.5\t3.5\r\n");
    let series = read_series(&path, &options(SeriesAxes::TimeParcels)).unwrap();
    assert_eq!((series.values[[1, 0]], series.parcels[1].name.as_str()), (2.5, "R Vis"));
}

#[test]
fn the_parcel_axis_is_found_or_the_table_refused() {
    let scratch = Scratch::new();
    let path = scratch.file("wide.dat", b"1 2 3\n4 5 6\n");
    let by = |n| read_series(&path, &options(SeriesAxes::ByParcels(n)));
    assert_eq!(by(3).unwrap().values.dim(), (2, 3));
    assert_eq!(by(2).unwrap().values, array![[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]);
    let none = by(424).unwrap_err().to_string();
    assert!(none.contains("the table is 2 × 3 and no axis is of 424 parcels"), "{none}");
    let path = scratch.file("square.dat", b"1 2\n4 5\n");
    let both = read_series(&path, &options(SeriesAxes::ByParcels(2))).unwrap_err().to_string();
    assert!(
        both.contains("the table is 2 × 2 and both axes are of 2 parcels; `axes: time_parcels`"),
        "{both}"
    );
}

#[test]
fn a_table_needs_a_repetition_time_and_cifti_has_one() {
    let scratch = Scratch::new();
    let path = scratch.file("series.dat", b"1 2\n4 5\n");
    let silent = OpenOptions { t_r: None, ..options(SeriesAxes::TimeParcels) };
    let error = read_series(&path, &silent).unwrap_err().to_string();
    assert!(error.ends_with("a table does not say it, so it must be given (`t_r`)"), "{error}");
    let series = read_series(oracle("msec.ptseries.nii"), &silent).unwrap();
    assert_eq!((series.t_r, series.values.dim()), (0.72, (30, 14)));
}

#[test]
fn damaged_tables_are_named_with_their_row() {
    let scratch = Scratch::new();
    let read = |bytes: &[u8]| {
        let path = scratch.file("bad", bytes);
        read_series(path, &options(SeriesAxes::TimeParcels)).unwrap_err().to_string()
    };
    assert!(read(b"1 2\n3\n").ends_with("row 2: holds 1 numbers, expected 2"));
    assert!(read(b"1 2\n3 x\n").ends_with("row 2: \"x\" is not a number"));
    assert!(read(b"\n# nothing\n").ends_with("row 1: it holds no numbers"));
    assert!(read(b"a,b\n").ends_with("row 1: it holds no numbers"));
    assert!(read(&[0xff, 0xfe, 1]).ends_with("row 1: it is no text"));
}

fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let size = (header.len() as u16).to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &size, header.as_bytes(), values].concat()
}

#[test]
fn arrays_of_either_order_and_byte_order_are_read() {
    let scratch = Scratch::new();
    let values: Vec<u8> = [1_i16, 2, 3, 4, 5, 6].iter().flat_map(|x| x.to_be_bytes()).collect();
    let header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n";
    let path = scratch.file("x.npy", &npy(header, &values));
    let expected = array![[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]].into_dyn();
    assert_eq!(read_npy(&path).unwrap(), expected);
    let series = read_series(&path, &options(SeriesAxes::TimeParcels)).unwrap();
    assert_eq!(series.values.as_slice().unwrap(), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
}

#[test]
fn arrays_that_lie_or_carry_programs_are_refused() {
    let scratch = Scratch::new();
    let read = |header: &str| {
        read_npy(scratch.file("x.npy", &npy(header, &[0; 16]))).unwrap_err().to_string()
    };
    let lie = read("{'descr': '<f8', 'fortran_order': False, 'shape': (1000, 1000), }");
    assert!(lie.ends_with("take 8000000 bytes, the file has 16 after its header"), "{lie}");
    let huge = "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967295, 4294967295, 9), }";
    assert!(read(huge).contains("take too many bytes"), "{}", read(huge));
    let object = read("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }");
    assert!(object.contains("npy elements of type |O"), "{object}");
    assert!(read("{'descr': '<f8', 'shape': (2,)}").contains("expected {'descr': "));
    assert!(read_npy(scratch.file("x.npy", b"\x93NUMPY")).is_err());
}

#[test]
fn a_table_without_frames_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.path("x.npy");
    write_npy(&path, &Array2::zeros((0, 3)).into_dyn().view()).unwrap();
    let error = read_series(&path, &options(SeriesAxes::TimeParcels)).unwrap_err().to_string();
    assert!(error.ends_with("is a table of [0, 3] values, expected at least one frame and parcel"));
}

/// The bytes of small whole numbers in each type of numpy, least significant first.
fn stored(code: &str, values: &[i8]) -> Vec<u8> {
    let bytes = |&x: &i8| match code {
        "f2" => half::f16::from_f32(x.into()).to_le_bytes().to_vec(),
        "f4" => f32::from(x).to_le_bytes().to_vec(),
        "f8" => f64::from(x).to_le_bytes().to_vec(),
        "i1" => x.to_le_bytes().to_vec(),
        "u1" => x.cast_unsigned().to_le_bytes().to_vec(),
        "i2" => i16::from(x).to_le_bytes().to_vec(),
        "u2" => u16::from(x.cast_unsigned()).to_le_bytes().to_vec(),
        "i4" => i32::from(x).to_le_bytes().to_vec(),
        "u4" => u32::from(x.cast_unsigned()).to_le_bytes().to_vec(),
        "i8" => i64::from(x).to_le_bytes().to_vec(),
        _ => u64::from(x.cast_unsigned()).to_le_bytes().to_vec(),
    };
    values.iter().flat_map(bytes).collect()
}

proptest! {
    #[test]
    fn arrays_of_every_type_and_byte_order_are_read(
        code in prop::sample::select(
            vec!["f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"],
        ),
        is_big in any::<bool>(),
        is_fortran in any::<bool>(),
        values in prop::collection::vec(0_i8..=127, 6),
    ) {
        let mut bytes = stored(code, &values);
        let width = bytes.len() / values.len();
        if is_big {
            bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        let order = if width == 1 { "|" } else if is_big { ">" } else { "<" };
        let fortran = if is_fortran { "True" } else { "False" };
        let header =
            format!("{{'descr': '{order}{code}', 'fortran_order': {fortran}, 'shape': (2, 3), }}\n");
        let scratch = Scratch::new();
        let path = scratch.file("x.npy", &npy(&header, &bytes));
        let values = values.into_iter().map(f64::from).collect();
        let expected = if is_fortran {
            Array2::from_shape_vec((3, 2), values).unwrap().reversed_axes()
        } else {
            Array2::from_shape_vec((2, 3), values).unwrap()
        };
        prop_assert_eq!(read_npy(&path).unwrap(), expected.into_dyn());
    }

    #[test]
    fn text_reads_back_what_was_printed(values in prop::collection::vec(any::<f64>(), 6), tab in any::<bool>()) {
        let cells: Vec<String> = values.iter().map(ToString::to_string).collect();
        let separator = if tab { "\t" } else { "," };
        let rows: Vec<String> = cells.chunks(3).map(|row| row.join(separator)).collect();
        let scratch = Scratch::new();
        let path = scratch.file("x.dat", rows.join("\n").as_bytes());
        let read = read_series(&path, &options(SeriesAxes::TimeParcels)).unwrap();
        for (read, written) in read.values.iter().zip(&values) {
            prop_assert!(read == written || (read.is_nan() && written.is_nan()));
        }
    }

    #[test]
    fn reading_back_a_written_array_is_the_identity(
        shape in prop::collection::vec(0_usize..5, 0..4),
        seed in any::<u64>(),
    ) {
        let mut state = seed;
        let array = ArrayD::from_shape_simple_fn(IxDyn(&shape), || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = f64::from_bits(state);
            if value.is_nan() { 0.5 } else { value }
        });
        let scratch = Scratch::new();
        let path = scratch.path("x.npy");
        write_npy(&path, &array.view()).unwrap();
        prop_assert_eq!(read_npy(&path).unwrap(), array);
        let begins = std::fs::read(&path).unwrap();
        let n_header = usize::from(begins[8]) + 256 * usize::from(begins[9]) + 10;
        prop_assert_eq!(n_header % 64, 0);
    }
}

#[test]
fn numpy_knows_what_was_written() {
    // the header numpy 2.4 writes for the same array, byte for byte
    let scratch = Scratch::new();
    let path = scratch.path("x.npy");
    write_npy(&path, &Array2::<f64>::zeros((2, 3)).into_dyn().view()).unwrap();
    let written = std::fs::read(path).unwrap();
    let text = String::from_utf8_lossy(&written[10..128]).into_owned();
    assert_eq!(text.trim_end(), "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }");
    assert_eq!(written.len(), 128 + 48);
}
