//! The cutter that other tests rely on cuts where and how it says.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use support::cutter::{Cut, Cutter, How};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const RESPONSE: &str = "HTTP/1.1 200 OK\r\n\r\ndata: 1\n\ndata: 2\r\n\r\n\r\ndata: 3\r\n";

/// Sends the response to each connection and keeps it open.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.write_all(RESPONSE.as_bytes()).await.unwrap();
            open.push(connection);
        }
    });
    address
}

async fn cutter(script: Vec<Cut>) -> Cutter {
    Cutter::start(server().await, script).await
}

/// What a client of the cutter gets, and how its connection ends.
async fn read(cutter: &Cutter) -> (String, Option<ErrorKind>) {
    let mut got = Vec::new();
    let end =
        async { TcpStream::connect(cutter.address()).await?.read_to_end(&mut got).await }.await;
    (String::from_utf8(got).unwrap(), end.err().map(|error| error.kind()))
}

#[tokio::test]
async fn a_cut_by_fin_is_after_the_very_byte() {
    for n in [0, 1, 25, RESPONSE.len()] {
        let cutter = cutter(vec![Cut::after_bytes(n as u64, How::Fin)]).await;
        assert_eq!(read(&cutter).await, (RESPONSE[..n].to_owned(), None));
        assert_eq!((cutter.connections(), cutter.cuts()), (1, 1));
    }
}

#[tokio::test]
async fn blank_lines_are_counted_with_both_line_endings() {
    for (n, place) in [(1, "data: 1"), (2, "data: 2"), (3, "\r\ndata: 3")] {
        let cutter = cutter(vec![Cut::after_blank_lines(n, How::Fin)]).await;
        let (got, _) = read(&cutter).await;
        assert_eq!(got, RESPONSE[..RESPONSE.find(place).unwrap()]);
    }
}

#[tokio::test]
async fn a_cut_by_rst_is_a_reset() {
    let cutter = cutter(vec![Cut::after_bytes(5, How::Rst)]).await;
    assert_eq!(read(&cutter).await.1, Some(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_stall_goes_on_when_it_is_ended() {
    let cutter = cutter(vec![Cut::after_bytes(5, How::Stall)]).await;
    let mut connection = TcpStream::connect(cutter.address()).await.unwrap();
    cutter.stalled(1).await;
    let mut got = vec![0; RESPONSE.len()];
    connection.read_exact(&mut got[..5]).await.unwrap();
    assert_eq!(connection.try_read(&mut got[5..]).unwrap_err().kind(), ErrorKind::WouldBlock);
    cutter.end_stalls();
    connection.read_exact(&mut got[5..]).await.unwrap();
    assert_eq!(got, RESPONSE.as_bytes());
}

#[tokio::test]
async fn pulling_the_cable_resets_what_is_open_and_refusing_what_comes() {
    let cutter = cutter(vec![]).await;
    let mut connection = TcpStream::connect(cutter.address()).await.unwrap();
    let mut got = vec![0; RESPONSE.len()];
    connection.read_exact(&mut got).await.unwrap();
    cutter.refuse(true);
    cutter.pull_the_cable();
    cutter.cut(1).await;
    assert_eq!(connection.read(&mut got).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(read(&cutter).await, (String::new(), Some(ErrorKind::ConnectionReset)));
    cutter.refuse(false);
    let mut connection = TcpStream::connect(cutter.address()).await.unwrap();
    connection.read_exact(&mut got).await.unwrap();
    assert_eq!(cutter.connections(), 3);
}
