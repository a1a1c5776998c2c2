//! What must hold for any private data of a connection manager.

use transport_srp::wire::{LoginForm, LoginReject, LoginRequest, LoginResponse};

/// Tries `bytes` as each message of the login.
pub fn run(bytes: &[u8]) {
    if let Ok(request) = LoginRequest::parse(bytes, LoginForm::RdmaCm) {
        assert_eq!(LoginRequest::parse(&request.emit_rdma_cm(), LoginForm::RdmaCm), Ok(request));
    }
    if let Ok(request) = LoginRequest::parse(bytes, LoginForm::IbCm) {
        assert_eq!(LoginRequest::parse(&request.emit_ib_cm(), LoginForm::IbCm), Ok(request));
        assert_eq!(request.initiator_port_id.to_string().parse(), Ok(request.initiator_port_id));
    }
    if let Ok(response) = LoginResponse::parse(bytes) {
        assert_eq!(LoginResponse::parse(&response.emit()), Ok(response));
    }
    if let Ok(reject) = LoginReject::parse(bytes) {
        assert_eq!(LoginReject::parse(&reject.emit()), Ok(reject));
    }
}
