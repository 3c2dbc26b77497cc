# AWS IoT Core as the engine of a Tidemark deployment: the same as CloudFormation's template makes.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
    archive = {
      source  = "hashicorp/archive"
      version = ">= 2.4"
    }
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  partition      = data.aws_partition.current.partition
  region         = data.aws_region.current.name
  account        = data.aws_caller_identity.current.account_id
  iot            = "arn:${local.partition}:iot:${local.region}:${local.account}"
  has_authorizer = var.token_signing_key != ""
  has_queue      = var.ingest == "sqs"
  alarm_actions  = var.alarm_topic == "" ? [] : [var.alarm_topic]
  tags           = { "tidemark:root" = var.root }
}
