// A bare relay on QuickFIX's C++ library: every application message of one session goes to the other, in the callback.
// usage: quickfix_relay EMS_PORT VENUE_PORT FOLDER memory|file. Ends when standard input closes.

#include <quickfix/Application.h>
#include <quickfix/FileStore.h>
#include <quickfix/MessageStore.h>
#include <quickfix/Session.h>
#include <quickfix/SessionSettings.h>
#include <quickfix/SocketAcceptor.h>
#include <quickfix/SocketInitiator.h>

#include <iostream>
#include <limits>
#include <string>

class Relay : public FIX::Application {
 public:
  Relay(const FIX::SessionID& ems, const FIX::SessionID& venue) : ems_(ems), venue_(venue) {}
  void onCreate(const FIX::SessionID&) {}
  void onLogon(const FIX::SessionID&) {}
  void onLogout(const FIX::SessionID&) {}
  void toAdmin(FIX::Message&, const FIX::SessionID&) {}
  void toApp(FIX::Message&, const FIX::SessionID&) throw(FIX::DoNotSend) {}
  void fromAdmin(const FIX::Message&, const FIX::SessionID&) throw(
      FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue, FIX::RejectLogon) {}
  void fromApp(const FIX::Message& message, const FIX::SessionID& from) throw(
      FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue, FIX::UnsupportedMessageType) {
    FIX::Message copy(message);
    FIX::Session::sendToTarget(copy, from == ems_ ? venue_ : ems_);
  }

 private:
  const FIX::SessionID ems_, venue_;
};

static FIX::SessionSettings settings(const FIX::SessionID& session, const char* type, int port, const std::string& folder) {
  FIX::Dictionary defaults, own;
  defaults.setString("SocketNodelay", "Y");
  own.setString("ConnectionType", type);
  own.setString("StartTime", "00:00:00");
  own.setString("EndTime", "00:00:00");
  own.setString("HeartBtInt", "30");
  own.setString("ReconnectInterval", "1");
  own.setString("ResetOnLogon", "Y");
  own.setString("UseDataDictionary", "N");
  own.setString("FileStorePath", folder);
  own.setString("SocketConnectHost", "127.0.0.1");
  own.setInt("SocketConnectPort", port);
  own.setInt("SocketAcceptPort", port);
  own.setString("SocketReuseAddress", "Y");
  FIX::SessionSettings result;
  result.set(defaults);
  result.set(session, own);
  return result;
}

int main(int count, char** arguments) {
  if (count != 5) return 2;
  const std::string folder = arguments[3], store = arguments[4];
  const FIX::SessionID ems("FIX.4.4", "GW", "EMS"), venue("FIX.4.4", "GW", "VENUE");
  Relay relay(ems, venue);
  const FIX::SessionSettings accepts = settings(ems, "acceptor", std::stoi(arguments[1]), folder);
  const FIX::SessionSettings connects = settings(venue, "initiator", std::stoi(arguments[2]), folder);
  FIX::MemoryStoreFactory memory;
  FIX::FileStoreFactory ems_files(accepts), venue_files(connects);
  const bool files = store == "file";
  FIX::SocketAcceptor acceptor(relay, files ? static_cast<FIX::MessageStoreFactory&>(ems_files) : memory, accepts);
  FIX::SocketInitiator initiator(relay, files ? static_cast<FIX::MessageStoreFactory&>(venue_files) : memory, connects);
  acceptor.start();
  initiator.start();
  std::cin.ignore(std::numeric_limits<std::streamsize>::max());
  initiator.stop(true);
  acceptor.stop(true);
  return 0;
}
