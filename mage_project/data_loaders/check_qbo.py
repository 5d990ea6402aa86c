from qbo_rs.mage import check_qbo

check_qbo = data_loader(check_qbo())
