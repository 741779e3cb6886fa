"""Loading files of alerts: the job, and the sensor of the inbox."""
