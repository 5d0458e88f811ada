use super::*;

use proptest::prelude::*;

/// What the kernel would be given, decoded again.
fn there_and_back(addr: &UnixAddr) -> UnixAddr {
    let raw = addr.encode();
    UnixAddr::decode(&raw, raw.as_bytes().len() as u32).unwrap()
}

fn path_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1..=u8::MAX, 1..=UNIX_PATH_BYTES_MAX)
}

proptest! {
    #[test]
    fn every_path_survives_the_way_to_the_kernel_and_back(bytes in path_bytes()) {
        let addr = UnixAddr::from_path(OsStr::from_bytes(&bytes)).unwrap();
        prop_assert_eq!(addr.as_path().unwrap().as_os_str().as_bytes(), &bytes[..]);
        prop_assert_eq!(addr.as_abstract_name(), None);
        prop_assert_eq!(there_and_back(&addr), addr);
    }

    #[test]
    fn every_abstract_name_survives_the_way_to_the_kernel_and_back(
        name in proptest::collection::vec(any::<u8>(), 0..=UNIX_NAME_BYTES_MAX),
    ) {
        let addr = UnixAddr::from_abstract_name(&name).unwrap();
        prop_assert_eq!(addr.as_abstract_name(), Some(&name[..]));
        prop_assert_eq!(addr.as_path(), None);
        prop_assert_eq!(there_and_back(&addr), addr);
    }

    #[test]
    fn any_bytes_decode_to_an_address_or_to_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 108),
        family in 0..16_i32,
        len in 0..200_u32,
    ) {
        let raw = RawAddr::of(family, &bytes);
        if let Ok(addr) = UnixAddr::decode(&raw, len) {
            prop_assert!(len == 0 || family == libc::AF_UNIX);
            prop_assert_eq!(there_and_back(&addr), addr);
        }
    }

    #[test]
    fn what_the_standard_library_holds_it_gets_back(bytes in path_bytes()) {
        let addr = UnixAddr::from_path(OsStr::from_bytes(&bytes)).unwrap();
        match StdAddr::try_from(&addr) {
            Ok(std) => prop_assert_eq!(UnixAddr::try_from(&std).unwrap(), addr),
            Err(_) => prop_assert_eq!(bytes.len(), UNIX_PATH_BYTES_MAX),
        }
    }
}

#[test]
fn each_length_of_a_path_has_the_length_the_manual_says() {
    for len in 1..UNIX_PATH_BYTES_MAX {
        let raw = UnixAddr::from_path("p".repeat(len)).unwrap().encode();
        assert_eq!(raw.as_bytes().len(), 2 + len + 1, "the path, and its zero byte");
    }
    let longest = UnixAddr::from_path("p".repeat(UNIX_PATH_BYTES_MAX)).unwrap();
    let raw = longest.encode();
    assert_eq!(raw.as_bytes().len(), 2 + UNIX_PATH_BYTES_MAX);
    assert_eq!(UnixAddr::decode(&raw, 111).unwrap(), longest, "as getsockname reports it");
}

#[test]
fn an_unnamed_address_has_a_family_or_not_even_that() {
    let raw = UnixAddr::unnamed().encode();
    assert_eq!(raw.as_bytes().len(), 2);
    assert!(UnixAddr::decode(&raw, 2).unwrap().is_unnamed());
    assert!(UnixAddr::decode(&RawAddr::empty(), 0).unwrap().is_unnamed());
    let std = StdAddr::try_from(&UnixAddr::unnamed()).unwrap();
    assert!(std.is_unnamed() && UnixAddr::try_from(&std).unwrap().is_unnamed());
}

#[test]
fn an_empty_abstract_name_is_a_name() {
    let addr = UnixAddr::from_abstract_name("").unwrap();
    assert_eq!(addr.encode().as_bytes().len(), 3);
    assert!(!addr.is_unnamed());
    assert_ne!(addr, UnixAddr::unnamed());
}

#[test]
fn what_does_not_fit_is_refused_with_its_length() {
    let err = UnixAddr::from_path("p".repeat(109)).unwrap_err();
    assert_eq!(err.to_string(), "a path of 109 bytes, where a Unix socket takes 108");
    let err = UnixAddr::from_abstract_name([0; 108]).unwrap_err();
    assert_eq!(err.to_string(), "an abstract name of 108 bytes, where a Unix socket takes 107");
    for odd in ["", "a\0b"] {
        let err = UnixAddr::from_path(odd).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        assert!(err.to_string().ends_with("is not a path of a Unix socket"), "{err}");
    }
}

#[test]
fn an_address_of_another_kind_is_an_error_that_says_so() {
    let raw = RawAddr::of(libc::AF_INET, &[0; 14]);
    let err = UnixAddr::decode(&raw, 16).unwrap_err();
    assert_eq!(err.to_string(), "not a Unix address: family 2, 16 bytes");
}
