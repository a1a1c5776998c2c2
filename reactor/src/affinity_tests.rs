use super::*;
use proptest::collection::btree_set;
use proptest::prelude::*;

fn cores_of(text: &str) -> Vec<u32> {
    text.parse::<CoreMask>().unwrap().cores().to_vec()
}

fn error_of(text: &str) -> String {
    text.parse::<CoreMask>().unwrap_err().to_string()
}

#[test]
fn both_forms_name_cores() {
    assert_eq!(cores_of("0x3"), [0, 1]);
    assert_eq!(cores_of("3"), [0, 1]);
    assert_eq!(cores_of("0X1D"), [0, 2, 3, 4]);
    assert_eq!(cores_of("0x80000000000000000000000000000000"), [127]);
    assert_eq!(cores_of("[0,2-4]"), [0, 2, 3, 4]);
    assert_eq!(cores_of(" [ 7 , 2 - 3, 3 ] "), [2, 3, 7]);
    assert_eq!(cores_of("[1023]"), [1023]);
}

#[test]
fn errors_name_the_bad_piece_and_the_fix() {
    for empty in ["", "0x", "0x0", "000", "[]", "[ ]"] {
        assert_eq!(error_of(empty), "the core mask names no core; give at least one, as 0x1 or [0]", "{empty:?}");
    }
    assert!(error_of("0,2-4").contains("has '-'"));
    assert!(error_of("0,2-4").contains("a list of cores in brackets as [0,2-4]"));
    assert!(error_of("0xg").contains("'g'"));
    assert!(error_of("-1").contains("'-'"));
    assert!(error_of("[0,1").contains("closing bracket"));
    for item in ["x", "", "1-", "-1", "1-2-3", "+1", "0x1"] {
        assert!(error_of(&format!("[0,{item}]")).starts_with(&format!("{item:?} in the core list")), "{item}");
    }
    assert!(error_of("[4-2]").contains("\"4-2\""));
    for core in ["1024", "99999999999999999999"] {
        assert!(error_of(&format!("[{core}]")).starts_with(&format!("core {core} ")), "{core}");
    }
    assert!(error_of("[0-4294967295]").starts_with("core 4294967295 "));
    assert!(error_of(&format!("1{}", "0".repeat(256))).starts_with("core 1024 "));
}

#[test]
fn unusable_cores_are_named_with_the_usable_ones() {
    let mask: CoreMask = "[0-3,9]".parse().unwrap();
    assert_eq!(mask.check_against(&[0, 1, 2, 3, 9, 10]), Ok(()));
    let message = mask.check_against(&[0, 2]).unwrap_err().to_string();
    assert!(message.contains("cores [1,3,9]") && message.contains("only [0,2]"), "{message}");
}

#[test]
fn the_cores_of_this_process_are_usable_and_core_1023_is_not() {
    let usable = usable_cores().unwrap();
    assert_eq!(list(&usable).parse::<CoreMask>().unwrap().check_usable(), Ok(()));
    assert!(matches!("[1023]".parse::<CoreMask>().unwrap().check_usable(), Err(AffinityError::NotUsable { .. })));
}

#[test]
fn pinning_to_a_core_that_is_not_there_is_refused() {
    for core in [1023, 1024, u32::MAX] {
        assert_eq!(pin_current_thread(core), Err(AffinityError::Refused { core }));
    }
}

proptest! {
    #[test]
    fn a_mask_means_its_bits(cores in btree_set(0u32..128, 1..20)) {
        let bits = cores.iter().fold(0u128, |bits, core| bits | 1 << core);
        let expected: Vec<u32> = cores.into_iter().collect();
        prop_assert_eq!(cores_of(&format!("{bits:#x}")), expected.clone());
        prop_assert_eq!(cores_of(&format!("{bits:X}")), expected);
    }

    #[test]
    fn the_list_form_reads_back(cores in btree_set(0u32..CORE_LIMIT, 1..40)) {
        let cores: Vec<u32> = cores.into_iter().collect();
        let mask = CoreMask { cores };
        prop_assert_eq!(mask.to_string().parse::<CoreMask>(), Ok(mask));
    }

    #[test]
    fn any_text_is_refused_or_gives_ascending_cores(text in r"(\[[0-9, -]{0,12}\]?|[0-9a-fxX]{0,12}|.{0,12})") {
        if let Ok(mask) = text.parse::<CoreMask>() {
            prop_assert!(!mask.cores().is_empty());
            prop_assert!(mask.cores().windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(mask.cores().iter().all(|&core| core < CORE_LIMIT));
        }
    }
}
