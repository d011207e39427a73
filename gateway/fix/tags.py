"""FIX tags, message types and enumerations by their names in the FIX 4.4 specification (4.2 where they differ)."""

# Header and trailer
BeginString = 8
BodyLength = 9
CheckSum = 10
MsgSeqNum = 34
MsgType = 35
PossDupFlag = 43
SenderCompID = 49
SenderSubID = 50
SendingTime = 52
TargetCompID = 56
PossResend = 97
OrigSendingTime = 122
OnBehalfOfCompID, DeliverToCompID = 115, 128
OnBehalfOfSubID, DeliverToSubID = 116, 129
OnBehalfOfLocationID, DeliverToLocationID = 144, 145

# Messages of the session layer
BeginSeqNo = 7
EndSeqNo = 16
NewSeqNo = 36
EncryptMethod = 98
HeartBtInt = 108
TestReqID = 112
GapFillFlag = 123
ResetSeqNumFlag = 141
NextExpectedMsgSeqNum = 789
DefaultApplVerID = 1137
MassActionReportID = 1369

# Body
Account = 1
AvgPx = 6
ClOrdID = 11
CumQty = 14
Currency = 15
ExecID = 17
ExecRefID = 19
ExecTransType = 20
ExecInst = 18
SecurityIDSource = 22
LastPx = 31
LastQty = 32
OrderID = 37
OrderQty = 38
OrdStatus = 39
OrdType = 40
OrigClOrdID = 41
Price = 44
RefSeqNum = 45
SecurityID = 48
Side = 54
Symbol = 55
Text = 58
TimeInForce = 59
TransactTime = 60
Rule80A = 47
StopPx = 99
ExDestination = 100
HandlInst = 21
DKReason = 127
CustomerOrFirm = 204
PegOffsetValue = 211
CxlRejReason = 102
OrdRejReason = 103
NoRelatedSym = 146
SecurityType = 167
ExecType = 150
LeavesQty = 151
SecondaryOrderID = 198
MDReqID = 262
SubscriptionRequestType = 263
MarketDepth = 264
MDUpdateType = 265
NoMDEntryTypes = 267
MDEntryType = 269
MDEntryPx = 270
MDEntrySize = 271
MDEntryDate = 272
MDEntryTime = 273
MDUpdateAction = 279
RefTagID = 371
RefMsgType = 372
SessionRejectReason = 373
BusinessRejectRefID = 379
BusinessRejectReason = 380
ExecRestatementReason = 378
CxlRejResponseTo = 434
MultiLegReportingType = 442
PartyID = 448
PartyRole = 452
SecondaryClOrdID = 526
OrderCapacity = 528
OrderRestrictions = 529
MassCancelRequestType = 530
MassCancelResponse = 531
MassCancelRejectReason = 532
TotalAffectedOrders = 533
CustOrderCapacity = 582
SecondaryExecID = 527
MassStatusReqID = 584
MassStatusReqType = 585
OrdStatusReqID = 790
TotNumReports = 911
LastRptRequested = 912


def message_type(name: str) -> int:
    """A MsgType(35) of one or two characters as the integer that kernels compare: first byte + 256 x second."""
    return int.from_bytes(name.encode("ascii"), "little")


HEARTBEAT, TEST_REQUEST, RESEND_REQUEST = message_type("0"), message_type("1"), message_type("2")
SEQUENCE_RESET, LOGOUT, LOGON = message_type("4"), message_type("5"), message_type("A")
NEW_ORDER_SINGLE = message_type("D")
ORDER_CANCEL_REPLACE_REQUEST = message_type("G")
ORDER_CANCEL_REQUEST = message_type("F")
EXECUTION_REPORT = message_type("8")
ORDER_CANCEL_REJECT = message_type("9")
REJECT = message_type("3")
BUSINESS_MESSAGE_REJECT = message_type("j")
ORDER_MASS_CANCEL_REQUEST = message_type("q")
ORDER_MASS_CANCEL_REPORT = message_type("r")
DONT_KNOW_TRADE = message_type("Q")
ORDER_MASS_STATUS_REQUEST = message_type("AF")
TRADING_SESSION_STATUS = message_type("h")
SECURITY_STATUS = message_type("f")
MASS_STATUS_OF_SECURITY, MASS_STATUS_OF_ALL = 1, 7  # MassStatusReqType(585)
ORDER_STATUS_REQUEST = message_type("H")
MARKET_DATA_REQUEST = message_type("V")
MARKET_DATA_SNAPSHOT = message_type("W")
MARKET_DATA_INCREMENTAL = message_type("X")

# One-byte values, as bytes lie in a message.
BUY, SELL, BUY_MINUS, SELL_PLUS, SELL_SHORT, SELL_SHORT_EXEMPT = (ord(side) for side in "123456")
MARKET, LIMIT, STOP, STOP_LIMIT, PEGGED = ord("1"), ord("2"), ord("3"), ord("4"), ord("P")
MARKET_ON_CLOSE_42, LIMIT_ON_CLOSE_42 = ord("5"), ord("B")
DAY, GOOD_TILL_CANCEL, GOOD_TILL_CROSSING, GOOD_TILL_DATE = ord("0"), ord("1"), ord("5"), ord("6")
AT_THE_CLOSE = ord("7")

# OrdStatus(39)
STATUS_NEW = ord("0")
STATUS_PARTIALLY_FILLED = ord("1")
STATUS_FILLED = ord("2")
STATUS_DONE_FOR_DAY = ord("3")
STATUS_CANCELED = ord("4")
STATUS_REPLACED_42 = ord("5")  # FIX 4.2 only
STATUS_PENDING_CANCEL = ord("6")
STATUS_STOPPED = ord("7")
STATUS_REJECTED = ord("8")
STATUS_SUSPENDED = ord("9")
STATUS_PENDING_NEW = ord("A")
STATUS_CALCULATED = ord("B")
STATUS_EXPIRED = ord("C")
STATUS_PENDING_REPLACE = ord("E")

# ExecType(150)
EXEC_NEW = ord("0")
EXEC_PARTIAL_FILL_42 = ord("1")
EXEC_FILL_42 = ord("2")
EXEC_CANCELED = ord("4")
EXEC_REPLACED = ord("5")
EXEC_PENDING_CANCEL = ord("6")
EXEC_REJECTED = ord("8")
EXEC_STOPPED = ord("7")
EXEC_SUSPENDED = ord("9")
EXEC_PENDING_NEW = ord("A")
EXEC_EXPIRED = ord("C")
EXEC_RESTATED = ord("D")
EXEC_PENDING_REPLACE = ord("E")
EXEC_TRADE = ord("F")
EXEC_TRADE_CORRECT = ord("G")
EXEC_TRADE_CANCEL = ord("H")
EXEC_ORDER_STATUS = ord("I")

# ExecTransType(20), FIX 4.2
TRANS_NEW, TRANS_CANCEL, TRANS_CORRECT, TRANS_STATUS = ord("0"), ord("1"), ord("2"), ord("3")

# SessionRejectReason(373)
REJECT_INVALID_TAG = 0
REJECT_REQUIRED_TAG_MISSING = 1
REJECT_TAG_NOT_DEFINED_FOR_MESSAGE = 2
REJECT_TAG_WITHOUT_VALUE = 4
REJECT_VALUE_INCORRECT = 5
REJECT_INCORRECT_DATA_FORMAT = 6
REJECT_COMP_ID = 9
REJECT_SENDING_TIME = 10
REJECT_MSG_TYPE = 11
FIX_50_SP2 = ord("9")  # DefaultApplVerID(1137)
REJECT_REPEATED_TAG = 13  # FIX 4.4
REJECT_TAG_OUT_OF_ORDER = 14  # FIX 4.4
REJECT_GROUP_FIELDS_OUT_OF_ORDER = 15  # FIX 4.4
REJECT_GROUP_COUNT = 16  # FIX 4.4

# BusinessRejectReason(380)
BUSINESS_OTHER, BUSINESS_UNSUPPORTED_MESSAGE, BUSINESS_NOT_AVAILABLE = 0, 3, 4

# OrdRejReason(103)
ORDER_BROKER_OPTION = 0
ORDER_UNKNOWN_SYMBOL = 1
ORDER_EXCHANGE_CLOSED = 2
ORDER_EXCEEDS_LIMIT = 3
ORDER_UNKNOWN = 5
ORDER_DUPLICATE = 6
ORDER_STALE = 8

# CxlRejReason(102) and CxlRejResponseTo(434)
CANCEL_TOO_LATE, CANCEL_UNKNOWN_ORDER, CANCEL_BROKER_OPTION, CANCEL_ALREADY_PENDING = 0, 1, 2, 3
CANCEL_DUPLICATE_CL_ORD_ID = 6  # FIX 4.4
RESPONSE_TO_CANCEL, RESPONSE_TO_REPLACE = 1, 2

CANCEL_OF_SECURITY, CANCEL_OF_ALL = ord("1"), ord("7")  # MassCancelRequestType(530)
MASS_CANCEL_REJECTED = ord("0")  # MassCancelResponse(531)
MASS_CANCEL_NOT_SUPPORTED, MASS_CANCEL_UNKNOWN_SECURITY, MASS_CANCEL_OTHER = 0, 1, 99  # MassCancelRejectReason(532)
RESTATED_BY_BROKER = 4  # ExecRestatementReason(378)
INDIVIDUAL_LEG = ord("2")  # MultiLegReportingType(442)
YES = ord("Y")
NO_MATCHING_ORDER = ord("D")  # DKReason(127)
MD_DELETE = ord("2")  # MDUpdateAction(279)
