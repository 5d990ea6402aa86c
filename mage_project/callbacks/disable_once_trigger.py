from qbo_rs.mage import disable_once_trigger

callback("success")(disable_once_trigger)
