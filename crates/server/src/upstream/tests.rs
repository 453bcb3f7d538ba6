use super::io_of;
use engine::exchange::Io;
use std::io;

#[test]
fn a_peer_that_tls_refuses_is_told_from_one_that_is_not_there() {
    let refused = || rustls::Error::General("a certificate that nobody knows".to_owned());
    let wrapped = io::Error::new(io::ErrorKind::InvalidData, refused());
    assert_eq!(io_of(&refused()), Io::Tls);
    assert_eq!(io_of(&io::Error::other(wrapped)), Io::Tls);
    assert_eq!(io_of(&io::Error::from(io::ErrorKind::ConnectionRefused)), Io::Connect);
}
