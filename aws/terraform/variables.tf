variable "root" {
  description = "First level of every topic, first part of every client id: one deployment in an account and region."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]{1,16}$", var.root)) && var.root != "svc"
    error_message = "1 to 16 of a-z, 0-9 and -, not svc."
  }
}

variable "server_principal" {
  description = "ARN of the role or user that the server runs as. Without it whoever in the account may assume the roles of clients and bridge by a policy."
  type        = string
  default     = ""
}

variable "broker_issuer" {
  description = "publicHttpUrl of the server, for the authorizer."
  type        = string
  default     = ""
}

variable "broker_audience" {
  description = "audience of the server, for the authorizer."
  type        = string
  default     = "tidemark"
}

variable "broker_jwks" {
  description = "The answer of GET /.well-known/jwks.json, for the authorizer."
  type        = string
  default     = ""
}

variable "token_signing_key" {
  description = "Public key of the server as PEM. Without it there is no authorizer."
  type        = string
  default     = ""
}

variable "second_token_signing_key" {
  description = "Another one, while keys are changed."
  type        = string
  default     = ""
}

variable "token_key_name" {
  description = "What the token is called in the query of a connection."
  type        = string
  default     = "token"
}

variable "authorizer_status" {
  description = "INACTIVE lets nobody in by the authorizer."
  type        = string
  default     = "ACTIVE"

  validation {
    condition     = contains(["ACTIVE", "INACTIVE"], var.authorizer_status)
    error_message = "ACTIVE or INACTIVE."
  }
}

variable "ingest" {
  description = "How what clients publish reaches the server: mqtt, as a subscriber, or sqs, by rules and a queue."
  type        = string
  default     = "mqtt"

  validation {
    condition     = contains(["mqtt", "sqs"], var.ingest)
    error_message = "mqtt or sqs."
  }
}

variable "alarm_topic" {
  description = "ARN of an SNS topic that hears of alarms."
  type        = string
  default     = ""
}

variable "log_retention_days" {
  description = "How long the authorizer's log is kept."
  type        = number
  default     = 30
}
