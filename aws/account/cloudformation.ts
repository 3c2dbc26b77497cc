/** CloudFormation's templates, as far as ours uses them. */

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json }

export interface JsonObject {
  readonly [name: string]: Json
}

export interface Parameter {
  readonly Type: 'String' | 'Number'
  readonly Description: string
  readonly Default?: string | number
  readonly AllowedPattern?: string
  readonly AllowedValues?: readonly (string | number)[]
  readonly ConstraintDescription?: string
}

export interface Resource {
  readonly Type: string
  readonly Condition?: string
  readonly DependsOn?: string
  /** What it is for, which `tidemark aws plan` says. */
  readonly Metadata: { readonly Purpose: string }
  readonly Properties: JsonObject
}

export interface Output {
  readonly Description: string
  readonly Condition?: string
  readonly Value: Json
}

export interface Template {
  readonly AWSTemplateFormatVersion: '2010-09-09'
  readonly Description: string
  readonly Parameters: Readonly<Record<string, Parameter>>
  readonly Conditions: Readonly<Record<string, Json>>
  readonly Resources: Readonly<Record<string, Resource>>
  readonly Outputs: Readonly<Record<string, Output>>
}

/** A text with `${Parameter}` and `${AWS::Region}` in it. */
export function sub(text: string): Json {
  return { 'Fn::Sub': text }
}

export function ref(name: string): Json {
  return { Ref: name }
}

export function arnOf(resource: string): Json {
  return { 'Fn::GetAtt': [resource, 'Arn'] }
}

export function either(condition: string, then: Json, otherwise: Json = { Ref: 'AWS::NoValue' }): Json {
  return { 'Fn::If': [condition, then, otherwise] }
}

/** A policy, with its statements. */
export function policy(...statements: readonly JsonObject[]): JsonObject {
  return { Version: '2012-10-17', Statement: statements }
}

/** Who may assume a role. */
export function trust(principal: JsonObject, condition?: JsonObject): JsonObject {
  const statement = { Effect: 'Allow', Principal: principal, Action: 'sts:AssumeRole' }
  return policy(condition === undefined ? statement : { ...statement, Condition: condition })
}
